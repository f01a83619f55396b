// The peers of npm, behind the same frames as `crates/mail/examples/cleaning.rs`.
//
//     node peer.mjs clean|time PEER FRAMES [SECONDS]
//
// It runs from the folder that holds `node_modules`.

import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.cwd()}/`);
// An ES module by its `main`: `require.resolve` refuses packages that export to `import` alone.
const load = (name) => {
  const folder = `${process.cwd()}/node_modules/${name}`;
  return import(pathToFileURL(`${folder}/${JSON.parse(readFileSync(`${folder}/package.json`, "utf8")).main}`));
};

const PEERS = {
  "email-reply-parser": async () => {
    const { default: Parser } = await load("email-reply-parser");
    return (kind, text) => new Parser().read(text).getVisibleText();
  },
  "email-forward-parser": async () => {
    const forward = await forwards();
    return (kind, text) => forward(text);
  },
  "email-forward-parser, then email-reply-parser": async () => {
    const forward = await forwards();
    const { default: Parser } = await load("email-reply-parser");
    return (kind, text) => new Parser().read(forward(text)).getVisibleText();
  },
  "node-email-reply-parser": async () => {
    const parse = require("node-email-reply-parser");
    return (kind, text) => parse(text, true);
  },
  emailreplyparser: async () => {
    const { EmailReplyParser } = require("emailreplyparser");
    return (kind, text) => EmailReplyParser.parse_reply(text);
  },
  planer: async () => {
    const planer = require("planer");
    return (kind, text) => planer.extractFrom(text, "text/plain");
  },
  "@u22n/mailtools": async () => {
    const { parseMessage } = await load("@u22n/mailtools");
    return async (kind, html) => {
      if (kind !== "h") return html;
      const parsed = await parseMessage(html, { cleanQuotations: true, cleanSignatures: true });
      return ["h", parsed.parsedMessageHtml];
    };
  },
  mailparser: async () => {
    const { simpleParser } = require("mailparser");
    return async (kind, raw) => (await simpleParser(raw)).text;
  },
  "postal-mime + html-to-text": async () => {
    const PostalMime = require("postal-mime").default ?? require("postal-mime");
    const { convert } = require("html-to-text");
    const options = { wordwrap: false, selectors: [{ selector: "a", options: { ignoreHref: true } }, { selector: "img", format: "skip" }] };
    return async (kind, raw) => {
      const mail = await PostalMime.parse(raw);
      return mail.text ?? convert(mail.html ?? "", options);
    };
  },
};

/** Without what is forwarded; a mail that is nothing but a forward gives the forwarded text. */
async function forwards() {
  const { default: Parser } = await load("email-forward-parser");
  return (text) => {
    const read = new Parser().read(text);
    return read.forwarded ? read.message || read.email.body || text : text;
  };
}

function frames(path) {
  const data = readFileSync(path);
  const mails = [];
  for (let at = 0; at < data.length; ) {
    const kind = String.fromCharCode(data[at]);
    const end = at + 5 + data.readUInt32LE(at + 1);
    const content = data.subarray(at + 5, end);
    mails.push([kind, kind === "m" ? content : content.toString("utf8")]);
    at = end;
  }
  return mails;
}

function write(kind, text) {
  const data = Buffer.from(text ?? "", "utf8");
  const head = Buffer.alloc(5);
  head.write(kind, "latin1");
  head.writeUInt32LE(data.length, 1);
  return Buffer.concat([head, data]);
}

const [mode, name, path, seconds] = process.argv.slice(2);
const clean = await PEERS[name]();
const mails = frames(path);
let failed = 0;
// A mail it cannot read is an empty text and counted. Only what returns a promise is waited for.
async function guarded(kind, content) {
  try {
    const kept = clean(kind, content);
    return kept instanceof Promise ? await kept : kept;
  } catch {
    failed += 1;
    return "";
  }
}
const waits = ["mailparser", "postal-mime + html-to-text", "@u22n/mailtools"].includes(name);
async function pass() {
  if (waits) {
    for (const [kind, content] of mails) await guarded(kind, content);
    return;
  }
  for (const [kind, content] of mails) {
    try {
      clean(kind, content);
    } catch {
      failed += 1;
    }
  }
}

if (mode === "clean") {
  const out = [];
  for (const [kind, content] of mails) {
    const kept = await guarded(kind, content);
    out.push(Array.isArray(kept) ? write(...kept) : write("p", kept));
  }
  const all = Buffer.concat(out);
  for (let at = 0; at < all.length; ) at += writeSync(1, all, at);
  process.stderr.write(`failed ${failed}\n`);
} else {
  // Processor time, which other programs on the machine do not stretch.
  const busy = () => (process.cpuUsage().user + process.cpuUsage().system) / 1e6;
  let start = busy();
  do await pass();
  while (busy() - start < Number(seconds) / 2);
  let done = 0;
  start = busy();
  while (!done || busy() - start < Number(seconds)) {
    await pass();
    done += mails.length;
  }
  process.stdout.write(JSON.stringify({ per_s: done / (busy() - start) }) + "\n");
}
const peak = readFileSync("/proc/self/status", "utf8").match(/VmHWM:\s*(.*)/);
if (peak) process.stderr.write(`peak ${peak[1]}\n`);
