// Updates parts of the page when the server sends a notification, and focuses the search on "/". The page works without
// this script, but then has to be reloaded manually.
"use strict";
(() => {
  const SPACING = 300, POLL_INTERVAL = 15000, RETRY_INTERVAL = 60000;
  const search = document.getElementById("search");
  const live = document.getElementById("live");
  const liveText = document.getElementById("live-text");
  const announce = document.getElementById("announce");
  const endpoint = document.body.dataset.liveEndpoint;
  let source = null, poll = 0, busy = false, pending = false;

  function say(state, text, title) {
    live.dataset.state = state;
    liveText.textContent = text;
    live.title = title;
  }

  function attentionCount() {
    const found = document.getElementById("attention-count");
    return found ? found.textContent : "";
  }

  // Remembers the focus inside a part that is about to be replaced. A link is identified by its URL.
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
    const before = attentionCount();
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
    const now = attentionCount();
    if (now !== before) announce.textContent = now === "0" ? "No endpoint needs attention." : now === "1" ? "1 endpoint needs attention." : now + " endpoints need attention.";
  }

  async function refresh() {
    if (busy) { pending = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
      if (answer.status < 500) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch (error) {
      say("wait", "offline", "The controller does not respond; retrying");
    }
    setTimeout(() => { busy = false; if (pending) { pending = false; refresh(); } }, SPACING);
  }

  function follow() {
    clearInterval(poll);
    source = new EventSource("/live?endpoint=" + encodeURIComponent(endpoint));
    source.onopen = () => { say("on", "live", "This page updates automatically"); refresh(); };
    source.addEventListener("news", refresh);
    source.addEventListener("time", refresh);
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) { say("wait", "offline", "Reconnecting"); return; }
      say("wait", "polling", "This page updates every 15 seconds");
      poll = setInterval(refresh, POLL_INTERVAL);
      setTimeout(() => { if (!document.hidden) follow(); }, RETRY_INTERVAL);
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

  // On the fleet page, the list is filtered as you type.
  if (location.pathname === "/") {
    let pause = 0;
    search.addEventListener("input", () => {
      clearTimeout(pause);
      pause = setTimeout(() => {
        const parameters = new URLSearchParams(location.search);
        parameters.delete("page");
        search.value.trim() ? parameters.set("q", search.value.trim()) : parameters.delete("q");
        const text = parameters.toString();
        history.replaceState(null, "", text ? "/?" + text : "/");
        refresh();
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
