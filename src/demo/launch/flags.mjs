import { statfsSync } from "node:fs";

/** Chromium keeps shared buffers in /dev/shm; containers often give it 64 MB, which a tensor of that size fills. */
const SHARED_MEMORY_MIN_BYTES = 512 * 1024 * 1024;

/**
 * The flags of every launch. They keep a first start quiet and off the network; none of them changes what we test: the process
 * model, background throttling and storage partitioning stay as users have them.
 */
const QUIET = [
  "--no-first-run",
  "--no-default-browser-check",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-sync",
  "--disable-quic",
  "--disable-search-engine-choice-screen",
  "--disable-domain-reliability",
  "--disable-client-side-phishing-detection",
  "--hide-crash-restore-bubble",
  "--metrics-recording-only",
  "--no-pings",
  "--password-store=basic",
  "--use-mock-keychain",
];

/**
 * @param {{ userDataDir: string, headless: boolean, extensionDir: string | undefined, extraArgs: string[] }} options
 * @returns {string[]}
 */
export function browserFlags({ userDataDir, headless, extensionDir, extraArgs }) {
  const flags = [...QUIET, `--user-data-dir=${userDataDir}`, "--remote-debugging-pipe"];
  if (headless) flags.push("--headless=new", "--window-size=1280,900");
  // Chromium refuses to run its sandbox as root; anyone else keeps it.
  if (process.getuid?.() === 0) flags.push("--no-sandbox");
  if (sharedMemoryIsSmall()) flags.push("--disable-dev-shm-usage");
  // For CDP's Extensions.loadUnpacked: branded Chrome ignores --load-extension.
  if (extensionDir) flags.push("--enable-unsafe-extension-debugging");
  return [...flags, ...extraArgs, "about:blank"];
}

function sharedMemoryIsSmall() {
  if (process.platform !== "linux") return false;
  try {
    const { blocks, bsize } = statfsSync("/dev/shm");
    return blocks * bsize < SHARED_MEMORY_MIN_BYTES;
  } catch {
    return true;
  }
}
