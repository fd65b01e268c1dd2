// Unpacks what @sparticuz/chromium brings into the folder that is named: Brotli is in Node, and not in Python.
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";

const [from, to] = process.argv.slice(2);
for (const name of ["chromium", "al2023.tar", "fonts.tar", "swiftshader.tar"]) {
  writeFileSync(join(to, name), brotliDecompressSync(readFileSync(join(from, name + ".br"))));
}
chmodSync(join(to, "chromium"), 0o755);
