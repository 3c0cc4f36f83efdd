// Uploads a file with the unmodified tus-js-client, tries again while the server is away,
// and prints the upload's address. Arguments: endpoint, file, chunk size in bytes, and a
// file to remember uploads in, where one that was broken off is to go on.
const fs = require("node:fs");
const tus = require("tus-js-client");

const [endpoint, path, chunk, memory] = process.argv.slice(2);
const upload = new tus.Upload(fs.createReadStream(path), {
  endpoint,
  chunkSize: Number(chunk),
  uploadSize: fs.statSync(path).size,
  retryDelays: Array(40).fill(500),
  metadata: { filename: "clip.mp4", filetype: "video/mp4", job: "{}" },
  ...(memory ? { urlStorage: new tus.FileUrlStorage(memory) } : {}),
  onProgress(sent) {
    fs.writeSync(2, `${sent}\n`);
  },
  onError(error) {
    fs.writeSync(2, `${error}\n`);
    process.exit(1);
  },
  onSuccess() {
    console.log(upload.url);
  },
});
upload.findPreviousUploads().then(([earlier]) => {
  if (earlier) upload.resumeFromPreviousUpload(earlier);
  upload.start();
});
