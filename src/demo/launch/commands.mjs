/** Running other programs: npm, apt-get, the build. Nothing runs without a limit, and what times out is ended with its children. */
import { spawn } from "node:child_process";

const WINDOWS = process.platform === "win32";

/**
 * @typedef {{ code: number, output: string, timedOut: boolean }} Outcome `code` -1: it was ended by a signal or did not start
 * @typedef {{ timeoutMs: number, show?: boolean, env?: Record<string, string>, cwd?: string }} RunOptions `show`: print while it runs
 */

/** @type {Set<number>} */
const running = new Set();

/**
 * @param {string} command
 * @param {string[]} args
 * @param {RunOptions} options
 * @returns {Promise<Outcome>}
 */
export function run(command, args, { timeoutMs, show = false, env = {}, cwd }) {
  return new Promise((resolve) => {
    // npm and npx are .cmd files on Windows, which only a shell starts.
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      shell: WINDOWS,
      detached: !WINDOWS,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const pid = child.pid ?? 0;
    running.add(pid);
    let output = "";
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      endTree(pid);
    }, timeoutMs);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (text) => {
        output += text;
        if (show) process.stdout.write(text);
      });
    }
    /** @param {number | null} code */
    const done = (code) => {
      clearTimeout(timer);
      running.delete(pid);
      resolve({
        code: code ?? -1,
        output: timedOut ? `${output}\nended after ${timeoutMs / 1000} s` : output,
        timedOut,
      });
    };
    child.on("error", (error) => {
      output += error.message;
      done(-1);
    });
    child.on("close", done);
  });
}

/** Ends whatever `run` has under way; for Ctrl-C. */
export function endAllCommands() {
  for (const pid of running) endTree(pid);
}

/** @param {number} pid */
function endTree(pid) {
  if (pid <= 0) return;
  try {
    if (WINDOWS) spawn("taskkill", ["/pid", String(pid), "/t", "/f"]);
    // The child leads a process group of its own.
    else process.kill(-pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}
