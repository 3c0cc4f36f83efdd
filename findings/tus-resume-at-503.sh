#!/usr/bin/env bash
# tus-js-client, resuming an upload while the server answers 503 for a moment.
#
# Guess: 503 with Retry-After is a passing fault. The client waits as retryDelays says
# and asks again; 600 of 1000 bytes are there, so it sends the other 400.
# Seen: with an endpoint set, the first answer to HEAD that is neither 2xx nor 423 makes
# it create a new upload at once and send everything from byte 0; no retry, no error,
# and the old upload stays behind. Without an endpoint it retries and sends from 600.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund tus-js-client@4.3.1
cat >run.js <<'NODE'
const http = require("http");
const tus = require("tus-js-client");

function upload(withEndpoint) {
  return new Promise((resolve) => {
    const log = [];
    let heads = 0;
    const server = http.createServer((request, response) => {
      let size = 0;
      request.on("data", (data) => (size += data.length));
      request.on("end", () => {
        const offset = request.headers["upload-offset"];
        log.push([request.method, offset].filter(Boolean).join(" "));
        response.setHeader("Tus-Resumable", "1.0.0");
        if (request.method === "HEAD" && heads++ === 0) {
          response.writeHead(503, { "Retry-After": "1" });
        } else if (request.method === "HEAD") {
          response.writeHead(200, { "Upload-Offset": "600", "Upload-Length": "1000" });
        } else if (request.method === "POST") {
          response.writeHead(201, { Location: "/new" });
        } else {
          response.writeHead(204, { "Upload-Offset": String(Number(offset) + size) });
        }
        response.end();
      });
    });
    server.listen(0, "127.0.0.1", () => {
      const base = `http://127.0.0.1:${server.address().port}`;
      const done = (end) => {
        server.close();
        resolve([...log, end].join(", "));
      };
      const options = {
        uploadUrl: `${base}/old`,
        retryDelays: [50, 50],
        onSuccess: () => done("success"),
        onError: () => done("error"),
      };
      if (withEndpoint) options.endpoint = `${base}/files`;
      new tus.Upload(Buffer.alloc(1000), options).start();
    });
  });
}

(async () => {
  const version = require("tus-js-client/package.json").version;
  console.log(`tus-js-client ${version}, Node ${process.version}`);
  const wanted = "HEAD, HEAD, PATCH 600, success";
  console.log(`guess: ${wanted}, with or without an endpoint`);
  const set = await upload(true);
  const unset = await upload(false);
  console.log(`seen:  with an endpoint     ${set}`);
  console.log(`       without an endpoint  ${unset}`);
  process.exit(set === "HEAD, POST, PATCH 0, success" && unset === wanted ? 0 : 1);
})();
NODE
timeout 30 node run.js
