// Places the services of the map in columns, so that no line between two of them crosses the box of a third one.
//
// The steps are those of Sugiyama, Tagawa and Toda (1981): columns by the longest way from the first service, a place
// in each column that a longer line passes, and a sequence in each column by the mean place of the neighbours.

// Passes over all columns, to the right and back again.
const SWEEPS = 6;

// Each service is in a column right of all that call it, but for calls that lead back.
function columnOf({ services, calls }) {
  const under = new Map(services.map(({ name }) => [name, []]));
  for (const { from, to } of calls) under.get(from).push(to);
  const called = new Set(calls.map((call) => call.to));
  const first = services.filter(({ name, entries }) => entries || !called.has(name));
  const finished = [];
  const [visited, open] = [new Set(), new Set()];
  const visit = (name) => {
    visited.add(name);
    open.add(name);
    // A call to what is still open leads back.
    under.set(name, under.get(name).filter((to) => !open.has(to)));
    for (const to of under.get(name)) if (!visited.has(to)) visit(to);
    open.delete(name);
    finished.unshift(name);
  };
  for (const { name } of [...first, ...services]) if (!visited.has(name)) visit(name);
  const column = new Map();
  for (const name of finished) {
    const here = column.get(name) ?? 0;
    column.set(name, here);
    for (const to of under.get(name)) column.set(to, Math.max(column.get(to) ?? 0, here + 1));
  }
  return column;
}

// The columns, each a list of items from top to bottom, and for each call the items on its way; none for a call that
// leads back. An item without a `name` is a place where lines pass; calls of the same service share it.
export function layers(map) {
  const column = columnOf(map);
  const columns = [];
  const items = new Map();
  const item = (key, x, name) => {
    if (!items.has(key)) {
      const made = { name, x, before: [], after: [] };
      items.set(key, made);
      (columns[x] ??= []).push(made);
    }
    return items.get(key);
  };
  for (const { name } of map.services) item(JSON.stringify([name]), column.get(name), name);
  const ways = map.calls.map(({ from, to }) => {
    const [first, last] = [column.get(from), column.get(to)];
    if (last <= first) return null;
    const way = [item(JSON.stringify([from]))];
    for (let x = first + 1; x < last; x++) way.push(item(JSON.stringify([from, x]), x));
    way.push(item(JSON.stringify([to])));
    for (let i = 1; i < way.length; i++) {
      way[i - 1].after.push(way[i]);
      way[i].before.push(way[i - 1]);
    }
    return way;
  });
  arrange(columns);
  return { columns, ways };
}

function arrange(columns) {
  const number = (list) => list.forEach((item, y) => (item.y = y - (list.length - 1) / 2));
  columns.forEach(number);
  const mean = (list, otherwise) => (list.length === 0 ? otherwise : list.reduce((sum, item) => sum + item.y, 0) / list.length);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const [side, inTurn] = sweep % 2 === 0 ? ["before", columns] : ["after", [...columns].reverse()];
    for (const list of inTurn) {
      const wanted = new Map(list.map((item) => [item, mean(item[side], item.y)]));
      list.sort((a, b) => wanted.get(a) - wanted.get(b));
      number(list);
    }
  }
}
