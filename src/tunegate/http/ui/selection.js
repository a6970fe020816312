// The jobs that were picked for comparison; they stay picked from page to page.

export const MOST = 8;
const picked = new Set();
const watchers = new Set();

export const isPicked = (id) => picked.has(id);
export const allPicked = () => [...picked];

/** False where there are too many already. */
export const pick = (id, wanted = true) => {
  if (wanted && !picked.has(id) && picked.size >= MOST) return false;
  if (wanted) picked.add(id);
  else picked.delete(id);
  for (const act of watchers) act();
  return true;
};

export const clearPicked = () => { picked.clear(); for (const act of watchers) act(); };

/** Returns how to stop. */
export const onPick = (act) => { watchers.add(act); return () => watchers.delete(act); };
