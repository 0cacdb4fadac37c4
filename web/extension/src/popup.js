// Copy clean link, and: is this link safe to share? For the page of the tab, or for
// the link that was chosen in the context menu.
const text = (name, ...values) => chrome.i18n.getMessage(name, values);
const $ = (id) => document.getElementById(id);

/** Asks the background. */
async function ask(op, subject) {
  const { result, error } = await chrome.runtime.sendMessage({ to: "background", op, ...subject });
  if (error !== undefined) throw new Error(error);
  return result;
}

/** What it is about: what the context menu left, else the tab. */
async function subject() {
  const { subject: chosen } = await chrome.storage.session.get("subject");
  await chrome.storage.session.remove("subject");
  if (chosen) return chosen;
  const [tab] = await chrome.tabs.query({ active: true, currentWindow: true });
  return { url: tab?.url ?? "", tab: tab?.id };
}

/** The text that explains a rule to a person. */
function explanation(rule) {
  if (/\.token$/.test(rule)) return text("ruleToken");
  if (/\.number$/.test(rule)) return text("ruleNumber");
  if (/\.keyword$/.test(rule)) return text("ruleKeyword");
  if (/email|credentials/.test(rule)) return text("rulePerson");
  if (rule.startsWith("host.")) return text("ruleHost");
  if (/^url\.(unreadable|scheme|port)$/.test(rule)) return text("ruleScheme");
  return text("ruleOther");
}

function show(state, message) {
  $("verdict").dataset.state = state;
  $("verdict").textContent = message;
}

function trace(steps) {
  $("rules").replaceChildren(...steps.flatMap(({ rule, input, found }) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = rule;
    dd.textContent = found || `✓ ${input}`;
    return [dt, dd];
  }));
  $("why").hidden = steps.length === 0;
}

function warn(rule, steps) {
  show("warn", `${explanation(rule)} (${rule})`);
  trace(steps);
  $("anyway").hidden = false;
}

async function copy(url) {
  await navigator.clipboard.writeText(url);
}

async function clean(about) {
  $("clean").disabled = true;
  show("busy", text("checking"));
  const link = await ask("clean", about);
  if (link.url) {
    $("link").textContent = link.url;
    $("found").hidden = false;
    trace(link.decision.trace);
    $("anyway").hidden = true;
    await copy(link.url);
    show("safe", text("copied"));
  } else if (link.stage === "address") {
    warn(link.decision.rule, link.decision.trace);
  } else {
    show("warn", `${text("notPublic")} (${link.decision.rule || link.reason})`);
    trace(link.decision.trace ?? []);
    $("anyway").hidden = false;
  }
}

const failed = () => {
  show("warn", text("failed"));
  $("anyway").hidden = false;
};

async function main() {
  document.documentElement.lang = chrome.i18n.getUILanguage();
  for (const e of document.querySelectorAll("[data-text]")) e.textContent = text(e.dataset.text);
  const about = await subject();
  $("address").textContent = about.url;
  $("anyway").addEventListener("click", () => copy(about.url).then(() => show("warn", text("copiedAnyway")), failed));
  $("clean").addEventListener("click", () => clean(about).catch(failed).finally(() => { $("clean").disabled = false; }));
  show("busy", text("checking"));
  const decision = await ask("judge", about);
  if (decision.verdict === "public") {
    show("safe", text("looksSafe"));
    trace(decision.trace);
  } else {
    warn(decision.rule, decision.trace);
  }
  $("clean").disabled = false;
}

main().catch(failed);
