// Judges cards: one JSON line in, one list of problems out. Its arguments: see judge.py.
// Block Kit by the schema made of @slack/types; Adaptive Cards by the official schema and by Microsoft's own renderer.
"use strict";
const fs = require("fs");
const readline = require("readline");

const [renderer, ajv, blockKit, adaptive] = process.argv.slice(2);
global.window = {}; // the bundle names itself there; it is never drawn here
const AC = require(renderer);
const Ajv = require(ajv).default;
const host = new AC.HostConfig({ actions: { maxActions: 6 }, supportsInteractivity: true });

const schema = (file) => {
  const { $schema, id, ...rest } = JSON.parse(fs.readFileSync(file, "utf8")); // drafts 6 and 7: no word here differs
  return rest;
};
const kit = new Ajv({ strict: false, allErrors: true, validateFormats: false });
kit.addSchema(schema(blockKit), "kit");
const cards = new Ajv({ strict: false, validateFormats: false });
cards.addSchema(schema(adaptive), "cards");
const official = cards.getSchema("cards#/definitions/AdaptiveCard");

const said = (errors) =>
  (errors || []).slice(0, 4).map((e) => `${e.instancePath}: ${e.message} ${JSON.stringify(e.params).slice(0, 120)}`);

const definition = (type) =>
  kit.getSchema(`kit#/definitions/${type.split("_").map((w) => w[0].toUpperCase() + w.slice(1)).join("")}Block`);

function blocks(list, place) {
  const found = [];
  for (const [n, block] of list.entries()) {
    const judge = typeof block.type === "string" && block.type ? definition(block.type) : undefined;
    if (!judge) found.push(`${place}[${n}]: Slack has no block ${JSON.stringify(block.type)}`);
    else if (!judge(block)) found.push(...said(judge.errors).map((e) => `${place}[${n}]${e}`));
  }
  return found;
}

function view(payload) {
  const judge = kit.getSchema(`kit#/definitions/${payload.type === "home" ? "Home" : "Modal"}View`);
  const found = judge({ ...payload, blocks: [] }) ? [] : said(judge.errors).map((e) => `view${e}`);
  return found.concat(blocks(payload.blocks, "blocks"));
}

function card(payload) {
  const { msteams, ...bare } = payload; // Teams' own, not of the schema
  const found = official(bare) ? [] : said(official.errors).map((e) => `schema${e}`);
  const made = new AC.AdaptiveCard();
  made.hostConfig = host;
  const context = new AC.SerializationContext(AC.Versions.v1_5);
  made.parse(payload, context);
  for (let n = 0; n < context.eventCount; n++) found.push(`parse: ${context.getEventAt(n).message}`);
  for (const event of made.validateProperties().validationEvents) found.push(`properties: ${event.message}`);
  return found;
}

const judges = { message: (m) => blocks(m.blocks, "blocks"), modal: view, home: view, adaptive: card };
readline.createInterface({ input: process.stdin, crlfDelay: Infinity }).on("line", (line) => {
  const { kind, payload } = JSON.parse(line);
  process.stdout.write(JSON.stringify(judges[kind](payload)) + "\n");
});
