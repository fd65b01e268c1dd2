// Renews the page's parts when the server says that there is news, and makes "/" the key of the search. Everything works
// without it, but for a reload by hand.
"use strict";
(() => {
  const SPACING = 300, WITHOUT_NEWS = 15000, TRY_AGAIN = 60000;
  const search = document.getElementById("search");
  const live = document.getElementById("live");
  const liveText = document.getElementById("live-text");
  const announce = document.getElementById("announce");
  const endpoint = document.body.dataset.liveEndpoint;
  let source = null, poll = 0, busy = false, again = false;

  function say(state, text, title) {
    live.dataset.state = state;
    liveText.textContent = text;
    live.title = title;
  }

  function wrongCount() {
    const found = document.getElementById("wrong-count");
    return found ? found.textContent : "";
  }

  // Where the focus is inside a part that is about to be replaced: a link is found again by its address.
  function focused(part) {
    const at = document.activeElement;
    if (!at || !part.contains(at)) return null;
    if (at.id) return (fresh) => document.getElementById(at.id);
    const links = (node) => Array.from(node.querySelectorAll("a[href], [tabindex]"));
    const href = at.getAttribute("href");
    const place = links(part).filter((one) => one.getAttribute("href") === href).indexOf(at);
    return (node) => links(node).filter((one) => one.getAttribute("href") === href)[place];
  }

  function swap(fresh) {
    const before = wrongCount();
    for (const part of fresh.querySelectorAll("[data-live]")) {
      const old = document.getElementById(part.id);
      if (!old) { location.reload(); return; }
      if (old.outerHTML === part.outerHTML) continue;
      const find = focused(old);
      const left = Array.from(old.querySelectorAll(".scroll"), (one) => one.scrollLeft);
      old.className = part.className;
      for (const name of ["role"]) part.hasAttribute(name) ? old.setAttribute(name, part.getAttribute(name)) : old.removeAttribute(name);
      old.replaceChildren(...part.childNodes);
      old.querySelectorAll(".scroll").forEach((one, number) => { one.scrollLeft = left[number] || 0; });
      const target = find && find(old);
      if (target) target.focus({ preventScroll: true });
    }
    for (const old of document.querySelectorAll("main > [data-live]")) {
      if (!fresh.getElementById(old.id)) old.replaceChildren();
    }
    document.title = fresh.title;
    const now = wrongCount();
    if (now !== before) announce.textContent = now === "0" ? "Every endpoint is as asked." : now + " endpoints are not as asked.";
  }

  async function renew() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
      if (answer.status < 500) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch (error) {
      say("wait", "away", "The controller does not answer; it is asked again");
    }
    setTimeout(() => { busy = false; if (again) { again = false; renew(); } }, SPACING);
  }

  function follow() {
    clearInterval(poll);
    source = new EventSource("/live?endpoint=" + encodeURIComponent(endpoint));
    source.onopen = () => { say("on", "live", "This page renews itself"); renew(); };
    source.addEventListener("news", renew);
    source.addEventListener("time", renew);
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) { say("wait", "away", "Connecting again"); return; }
      say("wait", "slow", "This page renews itself every 15 seconds");
      poll = setInterval(renew, WITHOUT_NEWS);
      setTimeout(() => { if (!document.hidden) follow(); }, TRY_AGAIN);
    };
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source.close(); clearInterval(poll); } else if (source.readyState === EventSource.CLOSED) follow();
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing) { event.preventDefault(); search.focus(); search.select(); }
    if (event.key === "Escape" && typing === search) { search.value = ""; search.dispatchEvent(new Event("input", { bubbles: true })); search.blur(); }
  });

  // On the fleet's page the list follows what is typed.
  if (location.pathname === "/") {
    let pause = 0;
    search.addEventListener("input", () => {
      clearTimeout(pause);
      pause = setTimeout(() => {
        const asked = new URLSearchParams(location.search);
        asked.delete("page");
        search.value.trim() ? asked.set("q", search.value.trim()) : asked.delete("q");
        const text = asked.toString();
        history.replaceState(null, "", text ? "/?" + text : "/");
        renew();
      }, 150);
    });
  }

  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  function ago(seconds) {
    if (seconds < 1) return "now";
    const [size, unit] = UNITS.find(([size]) => seconds >= (size === 1 ? 1 : 2 * size)) || UNITS[3];
    return Math.floor(seconds / size) + " " + unit + " ago";
  }
  setInterval(() => {
    const now = Date.now();
    for (const one of document.querySelectorAll("time[data-ago]")) one.textContent = ago((now - Date.parse(one.dateTime)) / 1000);
  }, 1000);

  follow();
})();
