/**
 * Room for request bodies: a relayed body is held until it is answered, so that it can be sent
 * again to another node. All of them together stay within a bound; a request beyond it waits
 * unread (design decision 17).
 */
export class BodyRoom {
  readonly #bytesMax: number;
  readonly #waiting: { readonly bytes: number; readonly start: () => void }[] = [];
  #taken = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Resolves when there is room for so many bytes. */
  take(bytes: number): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.#taken + bytes <= this.#bytesMax) {
      this.#taken += bytes;
      return undefined;
    }
    return new Promise((start) => this.#waiting.push({ bytes, start }));
  }

  /** Gives back what was taken; whoever waited longest goes first. */
  giveBack(bytes: number): void {
    this.#taken -= bytes;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (this.#taken + next.bytes > this.#bytesMax) return;
      this.#waiting.shift();
      this.#taken += next.bytes;
      next.start();
    }
  }
}
