// The shop of the example: everything it records goes through the SDK, which lies
// beside it in ../dist. The bundle of tasks and its owner are served with the page.
import { open } from "../dist/index.js";

const things = [["A book", 12, "books"], ["A game", 30, "games"], ["A watering can", 18, "garden"], ["A kettle", 40, "kitchen"]];
const metrics = ["shop.checkout", "shop.spent", "shop.items", "shop.theme", "shop.milliseconds", "shop.departments", "shop.hours"];

const begun = performance.now();
const mode = localStorage.getItem("mode") ?? "off"; // the person's decision is the shop's to keep
const bundle = fetch("tasks.bundle").then((r) => r.arrayBuffer());
const owner = (await (await fetch("owner.txt")).text()).trim();
const shoal = await open({ bundle, owner, metrics, mode });

const $ = (id) => document.getElementById(id);
let items = 0, total = 0;

shoal.observe("shop.milliseconds", performance.now() - begun);
shoal.observe("shop.theme", matchMedia("(prefers-contrast: more)").matches ? "high contrast" : matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
shoal.vector("shop.hours", Array.from({ length: 6 }, (_, i) => +(Math.floor(new Date().getHours() / 4) === i)));

for (const [name, price, department] of things) {
  const li = document.createElement("li");
  const button = document.createElement("button");
  button.textContent = "Add";
  button.setAttribute("aria-label", `Add ${name} to the cart`);
  button.addEventListener("click", () => {
    items++;
    total += price;
    $("cart").textContent = items;
    $("total").textContent = total;
    $("checkout").disabled = false;
    shoal.observe("shop.departments", department).then(show);
  });
  li.append(`${name}, ${price} coins`, button);
  $("shelf").append(li);
}

$("checkout").addEventListener("click", () => {
  const recorded = [shoal.count("shop.checkout"), shoal.add("shop.spent", total), shoal.observe("shop.items", items)];
  $("thanks").textContent = `Thank you for ${items} things.`;
  items = total = 0;
  $("cart").textContent = $("total").textContent = "0";
  $("checkout").disabled = true;
  Promise.all(recorded).then(show);
});

for (const input of document.querySelectorAll("input[name=mode]")) {
  input.checked = input.value === mode;
  input.addEventListener("change", async () => {
    localStorage.setItem("mode", input.value);
    await shoal.setMode(input.value);
    show();
  });
}

async function show() {
  $("state").textContent = shoal.error || `The mode is ${shoal.mode}${shoal.mode === "off" ? "" : shoal.durable ? ", kept on this device" : ", kept until this page closes"}.`;
  const rows = (await shoal.pending()).map((w) => {
    const tr = document.createElement("tr");
    const cells = [w.metric, w.recorded, w.stage === "held" ? "never" : w.sendAt.toLocaleString()].map((text) => Object.assign(document.createElement("td"), { textContent: text }));
    const button = Object.assign(document.createElement("button"), { textContent: "Drop" });
    button.setAttribute("aria-label", `Drop what waits for ${w.metric}`);
    button.addEventListener("click", async () => {
      await shoal.drop((x) => x.id === w.id);
      show();
    });
    const last = document.createElement("td");
    last.append(button);
    tr.append(...cells, last);
    return tr;
  });
  $("pending").replaceChildren(...rows);
  $("sent").textContent = (await shoal.stats()).sent;
}

setInterval(show, 5000);
await show();
