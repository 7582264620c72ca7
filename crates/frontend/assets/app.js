// The page works without this file. With it a roll stays on the page: it requests /roll or /roll-async, and fills the
// places that the server fills otherwise. Whatever comes from outside is set as text, never as markup.

const $ = (id) => document.getElementById(id);
const batchFields = [$("times"), $("strategy"), $("concurrency")];
const buttons = [$("roll"), $("both")];

function enableBatchFields() {
  for (const field of batchFields) field.disabled = !$("async").checked;
}
$("async").addEventListener("change", enableBatchFields);
addEventListener("pageshow", enableBatchFields); // a browser that goes back restores the box without an event
enableBatchFields();

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("result").ariaBusy === "true") return;
  if (event.submitter === $("both")) rollBothWays();
  else roll();
});

async function roll() {
  const batch = $("async").checked;
  const query = new URLSearchParams({ die: $("die").value });
  if (batch) {
    query.set("times", $("times").value);
    query.set("strategy", $("strategy").value);
    if ($("concurrency").value) query.set("concurrency", $("concurrency").value);
  }
  wait(batch ? Number($("times").value) : 1);
  const started = performance.now();
  try {
    const { answer, problem } = await request(`${batch ? "/roll-async" : "/roll"}?${query}`);
    if (problem) showError(problem);
    else showRolls(query.get("die"), answer, performance.now() - started);
    showTrace(answer?.trace_id);
  } finally {
    done();
  }
}

// The response, and in words what is wrong where it has no roll.
async function request(url) {
  try {
    const response = await fetch(url, { cache: "no-store" });
    const answer = await response.json();
    return response.ok ? { answer } : { answer, problem: answer.detail };
  } catch (error) {
    const problem = `No answer that this page can read came (${error.message}). Check that the services run, then try again.`;
    return { problem };
  }
}

function begin() {
  $("result").ariaBusy = "true";
  for (const button of buttons) button.setAttribute("aria-disabled", "true"); // unlike `disabled` it leaves the focus
  $("error").textContent = "";
  for (const id of ["empty", "trace", "rolled", "both-ways"]) $(id).hidden = true;
}

function done() {
  $("result").ariaBusy = "false";
  for (const button of buttons) button.removeAttribute("aria-disabled");
  // On a small screen the result lies below the form.
  $("result").parentElement.scrollIntoView({ block: "nearest" });
}

function wait(count) {
  begin();
  $("rolled").hidden = false;
  $("caption").textContent = "Rolling…";
  $("dice").replaceChildren(...Array.from({ length: count }, () => listItem("blank")));
  for (const id of ["total", "took", "rolls"]) $(id).textContent = "–";
  $("failures").replaceChildren();
}

function showRolls(die, answer, milliseconds) {
  const rolls = answer.rolls ?? [answer.roll];
  const failed = answer.failed ?? [];
  $("caption").textContent = `${die}, rolled ${rolls.length === 1 ? "once" : `${rolls.length} times`}`
    + (failed.length ? `, ${failed.length} failed` : "");
  $("dice").replaceChildren(...rolls.map((roll) => listItem("", face(roll))));
  $("total").textContent = answer.total ?? answer.roll;
  $("took").textContent = milliseconds < 1000 ? `${Math.floor(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;
  $("rolls").textContent = rolls.map((roll) => roll ?? "×").join(", ");
  $("failures").replaceChildren(...failed.map(({ index, error }) => {
    const span = document.createElement("code");
    span.textContent = `async_roll_${index}`;
    return listItem("", span, ` ${error}`);
  }));
}

function face(value) {
  const pips = value >= 1 && value <= 6;
  const template = value === null ? "failed-die" : pips ? "pips-die" : "number-die";
  const die = $(template).content.firstElementChild.cloneNode(true);
  if (value !== null) {
    die.dataset.value = value;
    die.ariaLabel = value;
    if (pips) die.querySelector("use").setAttribute("href", `#pips-${value}`);
    else die.querySelector("text").textContent = value;
  }
  return die;
}

function showError(detail) {
  $("rolled").hidden = true;
  $("error").textContent = detail;
}

function showTrace(id) {
  if (!id) return; // tracing is switched off
  $("trace-id").textContent = id;
  $("view-trace").href = traceUrl(id);
  $("trace").hidden = false;
}

function traceUrl(id) {
  return document.body.dataset.traceUrl.replaceAll("{trace_id}", id);
}

// "Roll both ways". The server draws the same for a browser without script (`src/handlers/both_ways.rs`).

async function rollBothWays() {
  $("async").checked = true; // it rolls several dice, so their number may be changed
  enableBatchFields();
  if (!$("form").reportValidity()) return;
  const [die, times] = [$("die").value, Number($("times").value)];
  const seed = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
  const query = new URLSearchParams({ die, times, seed, strategy: "best-effort", details: true });
  begin();
  $("both-ways").hidden = false;
  $("both-caption").textContent = `${die}, rolled ${times === 1 ? "once" : `${times} times`}, both ways`;
  $("gain").textContent = "Rolling…";
  $("comparison").hidden = true;
  const ways = { "at-once": {}, sequential: {} };
  drawBothWays(ways);
  const rollOneWay = async (id, concurrency) => {
    ways[id] = await request(`/roll-async?${query}${concurrency}`);
    if (ways[id].answer && !ways[id].problem && !ways[id].answer.details) {
      ways[id].problem = "dice-roller did not send the times of the rolls";
    }
    drawBothWays(ways);
  };
  try {
    await Promise.all([rollOneWay("at-once", ""), rollOneWay("sequential", "&concurrency=1")]);
    summarise(times, ways);
  } finally {
    done();
  }
}

function timesOf({ answer, problem }) {
  return (!problem && answer?.details) || [];
}

function endOf(way) {
  return Math.max(0, ...timesOf(way).map(({ start, seconds }) => start + seconds));
}

// Both pictures have one time axis. One after the other takes the sum of all rolls, so that the axis is known, or nearly,
// as soon as the rolls at once have ended.
function drawBothWays(ways) {
  const sum = timesOf(ways["at-once"]).reduce((sum, { seconds }) => sum + seconds, 0);
  const axis = Math.max(endOf(ways["at-once"]), endOf(ways.sequential) || sum, 1e-6);
  for (const [id, way] of Object.entries(ways)) {
    const picture = $(id);
    const pending = !way.answer && !way.problem;
    picture.querySelector(".end").textContent = pending ? "rolling…" : timesOf(way).length ? duration(endOf(way)) : "";
    picture.querySelector(".problem").textContent = way.problem ?? "";
    picture.querySelector(".bars").replaceChildren(...timesOf(way).map((times) => bar(times, way.answer.rolls, axis)));
    const link = picture.querySelector(".view");
    link.hidden = !way.answer?.trace_id;
    if (way.answer?.trace_id) link.href = traceUrl(way.answer.trace_id);
  }
  const known = Object.values(ways).some((way) => timesOf(way).length);
  const ticks = known ? ["0 s", duration(axis / 2), duration(axis)] : ["", "", ""];
  [...$("axis").children].forEach((tick, index) => (tick.textContent = ticks[index]));
}

function bar({ index, start, seconds }, rolls, axis) {
  const item = $("bar").content.firstElementChild.cloneNode(true);
  const failed = rolls[index] === null;
  item.classList.toggle("failed", failed);
  item.querySelector(".name").textContent = `async_roll_${index}`;
  item.querySelector("rect").setAttribute("x", `${Math.min((start / axis) * 100, 99.5).toFixed(2)}%`);
  item.querySelector("rect").setAttribute("width", `${Math.max((seconds / axis) * 100, 0.5).toFixed(2)}%`);
  item.querySelector(".face").textContent = failed ? "failed" : rolls[index];
  item.querySelector(".seconds").textContent = duration(seconds);
  return item;
}

function summarise(times, { "at-once": atOnce, sequential }) {
  if (atOnce.problem && sequential.problem) {
    $("both-ways").hidden = true;
    showError(atOnce.problem);
    showTrace(atOnce.answer?.trace_id);
    return;
  }
  if (atOnce.problem || sequential.problem) {
    $("gain").textContent = "Only one of the two ways could be rolled, so there is nothing to compare.";
    return;
  }
  $("gain").textContent = gain(times, endOf(atOnce), endOf(sequential));
  const compare = document.body.dataset.compareUrl;
  if (compare && sequential.answer.trace_id && atOnce.answer.trace_id) {
    $("compare").href = `${compare}${sequential.answer.trace_id}/${atOnce.answer.trace_id}`;
    $("comparison").hidden = false;
  }
}

function gain(times, all, one) {
  const rolls = times === 1 ? "roll" : `${times} rolls`;
  if (one < 0.001) return `The same ${rolls}: too short to compare, both ways under 1 ms.`;
  const factor = one / all;
  const faster = factor < 1.05 ? "no faster" : `${factor.toFixed(1)} times faster`;
  return `The same ${rolls}: one after the other ${duration(one)}, at once ${duration(all)}, ${faster}.`;
}

function duration(seconds) {
  if (seconds < 0.0995) return `${(seconds * 1000).toFixed(0)} ms`;
  return `${seconds.toFixed(seconds < 0.995 ? 2 : 1)} s`;
}

function listItem(className, ...content) {
  const item = document.createElement("li");
  item.className = className;
  item.append(...content);
  return item;
}
