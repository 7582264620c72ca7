// The page works without this file. With it a roll stays on the page: it requests /roll or /roll-async, and fills the
// places that the server fills otherwise. Whatever comes from outside is set as text, never as markup.

const $ = (id) => document.getElementById(id);
const batchFields = [$("times"), $("strategy"), $("concurrency")];

function enableBatchFields() {
  for (const field of batchFields) field.disabled = !$("async").checked;
}
$("async").addEventListener("change", enableBatchFields);
addEventListener("pageshow", enableBatchFields); // a browser that goes back restores the box without an event
enableBatchFields();

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("result").ariaBusy !== "true") roll();
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
    const response = await fetch(`${batch ? "/roll-async" : "/roll"}?${query}`, { cache: "no-store" });
    const answer = await response.json();
    if (response.ok) showRolls(query.get("die"), answer, performance.now() - started);
    else showError(answer.detail);
    showTrace(answer.trace_id);
  } catch (error) {
    showError(`No answer that this page can read came (${error.message}). Check that the services run, then try again.`);
  } finally {
    $("result").ariaBusy = "false";
    $("roll").removeAttribute("aria-disabled");
    // On a small screen the result lies below the form.
    $("result").parentElement.scrollIntoView({ block: "nearest" });
  }
}

function wait(count) {
  $("result").ariaBusy = "true";
  $("roll").setAttribute("aria-disabled", "true"); // unlike `disabled` it leaves the focus on the button
  $("error").textContent = "";
  $("empty").hidden = true;
  $("trace").hidden = true;
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
  $("view-trace").href = document.body.dataset.traceUrl.replaceAll("{trace_id}", id);
  $("trace").hidden = false;
}

function listItem(className, ...content) {
  const item = document.createElement("li");
  item.className = className;
  item.append(...content);
  return item;
}
