// Signs URLs of images on request, in Node, Deno, Bun and edge workers: never in a page,
// where everybody could read the secret. signingKey is what GET /v1/render/signing-key
// answers; source is s3://BUCKET/KEY, an https:// URL or the id of a job.
export async function renderUrl(root, signingKey, source, options, extension, expires) {
  const bytes = (text) => new TextEncoder().encode(text);
  const base64 = (raw) =>
    btoa(String.fromCharCode(...raw)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const segment = /^[0-9a-f]{32}$/.test(source) ? source : base64(bytes(source));
  const name = Object.entries(options).map((pair) => pair.join("=")).join(",") || "default";
  const text = `/v1/render/${segment}/${name}.${extension}` + (expires ? `?expires=${expires}` : "");
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes(signingKey.secret), hmac, false, ["sign"]);
  const sig = base64(new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes(text))));
  const quoted = encodeURIComponent(name).replaceAll("%3D", "=").replaceAll("%2C", ",");
  const query = new URLSearchParams({ key: signingKey.key, ...(expires && { expires }), sig });
  return `${root.replace(/\/+$/, "")}/v1/render/${segment}/${quoted}.${extension}?${query}`;
}
