/** An item that must be there. */
export function at<Item>(items: readonly Item[], index: number): Item {
  const item = items[index];
  if (item === undefined) throw new Error(`there are ${items.length} of them, no ${index}`);
  return item;
}
