/**
 * `npm start`: everything from a fresh checkout to the running demo. With a display it opens the demo in a browser; without one,
 * or with `-- --headless`, it tells the demo's story in the terminal and the exit status says whether it went well.
 *
 * Must run on bare Node: nothing is installed yet when it starts.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launchBrowser } from "./launch/browser.mjs";
import { endAllCommands, run } from "./launch/commands.mjs";
import { DEMO_ROOTS } from "./launch/demo-roots.mjs";
import { serveDemo } from "./launch/demo-server.mjs";
import { findBrowser } from "./launch/find-browser.mjs";
import { checkNode, installPackages, ROOT } from "./launch/setup.mjs";
import { tellStory } from "./launch/story.mjs";

const BUILD_TIMEOUT_MS = 5 * 60_000;

/** @type {(() => Promise<void> | void)[]} what to close, newest first */
const opened = [];

/** @param {string} line */
const say = (line) => console.log(line);

async function main() {
  checkNode();
  await installPackages(say);
  const executable = await findBrowser(say);
  say(`Browser: ${executable}`);
  say("Building …");
  const build = await run("npm", ["run", "build"], { timeoutMs: BUILD_TIMEOUT_MS, cwd: ROOT });
  if (build.code !== 0) throw new Error(`The build failed:\n${build.output}`);

  const headless = process.argv.includes("--headless") || !hasDisplay();
  /** @type {import("./launch/browser.mjs").Browser | undefined} */
  let browser;
  const server = await serveDemo(DEMO_ROOTS, () => browser);
  opened.unshift(server.close);
  const userDataDir = mkdtempSync(join(tmpdir(), "holdfast-demo-"));
  opened.unshift(() => rmSync(userDataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  browser = await launchBrowser({ executable, userDataDir, extensionDir: join(ROOT, "dist/chrome"), headless });
  opened.unshift(() => browser?.close());
  if (headless) return (await tellStory(browser, server.origin, say)) ? 0 : 1;

  say(`The demo is at ${server.origin}. Close the browser or press Ctrl-C to end it.`);
  const page = await browser.newPage(`${server.origin}/?launcher=${server.token}`);
  await page.detach();
  await closeBlankTabs(browser);
  await browser.exited;
  return 0;
}

/** The browser opens with an empty tab of its own. @param {import("./launch/browser.mjs").Browser} browser */
async function closeBlankTabs(browser) {
  for (const { targetId, type, url } of await browser.targets()) {
    if (type === "page" && url === "about:blank") await browser.cdp.send("Target.closeTarget", { targetId });
  }
}

function hasDisplay() {
  return process.platform !== "linux" || Boolean(process.env["DISPLAY"] || process.env["WAYLAND_DISPLAY"]);
}

/** @type {Promise<void> | undefined} */
let closing;

/** Once only: closing the browser also ends `main`, which closes too. */
function closeAll() {
  closing ??= (async () => {
    endAllCommands();
    for (const close of opened) await close();
  })();
  return closing;
}

let interrupted = false;
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
  process.once(signal, () => {
    interrupted = true;
    closeAll().finally(() => process.exit(130));
  });
}

main()
  .catch((error) => {
    if (!interrupted) console.error(`\n${error instanceof Error ? error.message : error}`);
    return 1;
  })
  .then(async (code) => {
    await closeAll();
    process.exit(interrupted ? 130 : code);
  });
