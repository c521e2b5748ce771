import { spawn } from "node:child_process";

/** Keeps `processes` cores busy while `work` runs. */
export async function underLoad<T>(processes: number, work: () => Promise<T>): Promise<T> {
  const busy = Array.from({ length: processes }, () =>
    spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }),
  );
  // A test that times out never comes back to the `finally`.
  const end = () => busy.forEach((child) => void child.kill("SIGKILL"));
  process.once("exit", end);
  try {
    return await work();
  } finally {
    process.removeListener("exit", end);
    end();
  }
}
