// The extension reads a URL for a page only where nothing is read that the page could not read itself: without
// credentials, with CORS, and never into the user's own network.

/**
 * Whether the extension may read `url` on behalf of a page of `origin`. Everybody may read the public web over https;
 * this machine only its own pages, so that no site reaches servers behind the user's firewall. Anything else the page
 * fetches itself, under the browser's rules for it.
 */
export function mayReadFor(origin: string, url: string): boolean {
  if (!URL.canParse(url) || !URL.canParse(origin)) return false;
  const { protocol, hostname, username, password } = new URL(url);
  if (username !== "" || password !== "") return false;
  if (isLoopback(hostname)) return isHttp(protocol) && isLoopback(new URL(origin).hostname);
  return protocol === "https:" && !isPrivateName(hostname);
}

/** The URL under which a file is known: without its fragment, which no server sees. */
export function urlKey(url: string): string {
  const parsed = new URL(url);
  parsed.hash = "";
  return parsed.href;
}

function isHttp(protocol: string): boolean {
  return protocol === "http:" || protocol === "https:";
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" || /^127\./.test(hostname);
}

/** Addresses instead of names, and names that no public server has. */
function isPrivateName(hostname: string): boolean {
  const isAddress = hostname.startsWith("[") || /^[\d.]+$/.test(hostname);
  return (
    isAddress || !hostname.includes(".") || /\.(local|internal|lan|home|home\.arpa|test|intranet)\.?$/.test(hostname)
  );
}
