// One number for all that happened in a run, in order: two runs of a seed must give the same.

export class EventHash {
  #high = 0xdeadbeef;
  #low = 0x41c6ce57;
  #count = 0;

  add(text: string): void {
    for (let place = 0; place < text.length; place += 1) {
      const unit = text.charCodeAt(place);
      this.#high = Math.imul(this.#high ^ unit, 2654435761);
      this.#low = Math.imul(this.#low ^ unit, 1597334677);
    }
    this.#high = Math.imul(this.#high ^ (this.#low >>> 13), 2246822507);
    this.#low = Math.imul(this.#low ^ (this.#high >>> 16), 3266489909);
    this.#count += 1;
  }

  get count(): number {
    return this.#count;
  }

  get digest(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return `${hex(this.#high)}${hex(this.#low)}`;
  }
}
