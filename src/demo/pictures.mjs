/** `npm run pictures`: takes the README's pictures anew, from the built extension at real work, with a real kill. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launchBrowser } from "./launch/browser.mjs";
import { DEMO_ROOTS } from "./launch/demo-roots.mjs";
import { serveDemo } from "./launch/demo-server.mjs";
import { findBrowser } from "./launch/find-browser.mjs";
import { ROOT } from "./launch/setup.mjs";
import { sleep } from "./launch/wait.mjs";

const FOLDER = join(ROOT, "src/demo/images");
/** Slow machines write the demo's text slowly. */
const PATIENCE = { timeoutMs: 120_000 };

/** @typedef {import("./launch/page.mjs").Page} Page */

/** @param {Page} page @param {string} name */
async function picture(page, name) {
  const { data } = await page.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: true });
  writeFileSync(join(FOLDER, `${name}.png`), Buffer.from(data, "base64"));
  console.log(`src/demo/images/${name}.png`);
}

/** @param {Page} page @param {number} width @param {number} height */
const size = (page, width, height) =>
  page.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });

/** @type {import("./launch/browser.mjs").Browser | undefined} */
let launched;
const server = await serveDemo(DEMO_ROOTS, () => launched);
const userDataDir = mkdtempSync(join(tmpdir(), "holdfast-pictures-"));
const executable = await findBrowser(console.log);
const browser = await launchBrowser({ executable, userDataDir, extensionDir: join(ROOT, "dist/chrome") });
launched = browser;
mkdirSync(FOLDER, { recursive: true });
try {
  const demo = await browser.newPage(`${server.origin}/?launcher=${server.token}`);
  await size(demo, 1_280, 900);
  await demo.waitFor(`document.querySelectorAll(".host").length === 3`);
  await demo.click("#start");
  const consent = await browser.attach(({ url }) => url.includes("popup/consent.html"));
  await size(consent, 420, 480);
  await sleep(800);
  await picture(consent, "consent");
  await consent.detach();
  await browser.clickConsent();
  await demo.waitFor(`Number(document.querySelector("#gauge").getAttribute("aria-valuenow")) >= 60`, PATIENCE);
  await demo.click(`.host[data-stage="1"] .kill, .host:nth-child(5) .kill`);
  await demo.waitFor(`document.querySelector('.host[data-state="recovering"]')`, { timeoutMs: 20_000, everyMs: 10 });
  await picture(demo, "demo-killed");
  await demo.waitFor(`document.querySelector("#verdict").textContent !== ""`, PATIENCE);
  await sleep(300);
  await picture(demo, "demo-done");
  const popup = await browser.newPage(browser.extensionUrl("popup/popup.html"));
  await size(popup, 380, 760);
  await sleep(1_500);
  await picture(popup, "popup");
  await popup.close();
  await demo.goto(`${server.origin}/ocr.html?launcher=${server.token}`);
  await demo.waitFor(`!document.querySelector("#read").disabled`);
  await demo.click("#read");
  await sleep(500);
  await demo.waitFor(
    `!document.querySelector("#read").disabled && document.querySelector("#lines").innerText !== ""`,
    PATIENCE,
  );
  await sleep(300);
  await picture(demo, "read");
} finally {
  await browser.close();
  await server.close();
  rmSync(userDataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}
