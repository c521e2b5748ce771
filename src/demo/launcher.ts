/** The launcher (`npm start`) gives its page a token; with it a host's process can really be killed, which no page can do itself. */
const TOKEN_PARAMETER = "launcher";
const TOKEN_HEADER = "x-launcher-token";

export interface Launcher {
  kill(hostId: string): Promise<void>;
}

/** Null when the demo was not started by the launcher. */
export async function findLauncher(): Promise<Launcher | null> {
  const token = new URLSearchParams(location.search).get(TOKEN_PARAMETER);
  if (!token || !(await offersKill())) return null;
  return { kill: (hostId) => kill(hostId, token) };
}

async function offersKill(): Promise<boolean> {
  try {
    const response = await fetch("/launcher.json");
    const offer: unknown = response.ok ? await response.json() : null;
    return typeof offer === "object" && offer !== null && "kill" in offer && offer.kill === true;
  } catch {
    return false;
  }
}

async function kill(hostId: string, token: string): Promise<void> {
  const response = await fetch("/kill", {
    method: "POST",
    headers: { "content-type": "application/json", [TOKEN_HEADER]: token },
    body: JSON.stringify({ hostId }),
  });
  if (!response.ok) throw new Error(`the launcher could not kill it: ${await response.text()}`);
}

/** The other page needs the token too. */
export function keepLauncherInLinks(): void {
  for (const link of document.querySelectorAll<HTMLAnchorElement>("nav a")) link.search = location.search;
}
