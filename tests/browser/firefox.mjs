// Drives Firefox by WebDriver BiDi: chooses a file, watches the job, sees its picture.
// node firefox.mjs FIREFOX ADDRESS CLIP NODE_MODULES; prints what was seen as JSON.
import { createRequire } from "node:module";
import { basename, join } from "node:path";

const [firefox, address, clip, modules] = process.argv.slice(2);
const require = createRequire(join(modules, "puppeteer-core", "package.json"));
const puppeteer = require("puppeteer-core");
const MILLISECONDS = 120_000;

// The page may draw the picture again while it is decoded: then the new one counts.
async function sizeOfPicture(job) {
  const deadline = Date.now() + MILLISECONDS;
  for (;;) {
    const picture = await job.waitForSelector("[data-output=thumbnail] figure img");
    try {
      return await picture.evaluate(async (shown) => {
        await shown.decode();
        return { width: shown.naturalWidth, height: shown.naturalHeight };
      });
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

function jobOf(file) {
  const ended = document.querySelectorAll('article.job[data-status="completed"]');
  return [...ended].find((job) => job.querySelector("h3").textContent === file);
}

const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath: firefox,
  headless: true,
  timeout: MILLISECONDS,
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(MILLISECONDS);
  const complaints = [];
  page.on("console", (told) => ["error", "warn"].includes(told.type()) && complaints.push(told.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(address);
  await page.waitForSelector("#wanted input");
  const files = await page.$("#files");
  await files.uploadFile(clip);
  // Earlier jobs of the service are on the page, too.
  const job = await page.waitForFunction(jobOf, {}, basename(clip));
  const seen = await sizeOfPicture(job);
  const name = await job.$eval("h3", (title) => title.textContent);
  console.log(JSON.stringify({ ...seen, name, complaints, version: await browser.version() }));
} finally {
  await browser.close();
}
