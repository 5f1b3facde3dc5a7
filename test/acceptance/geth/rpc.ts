/** A GoQuorum node's JSON-RPC. */
export class GethRpc {
  readonly #url: string;
  #id = 0;

  /** `url` may name a private state (`stateUrl`). */
  constructor(url: string) {
    this.#url = url;
  }

  /** Rejects with the node's own sentence. */
  async ask<Result = string>(method: string, ...params: readonly unknown[]): Promise<Result> {
    this.#id += 1;
    const response = await fetch(this.#url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: this.#id, method, params }),
    });
    const { result, error } = (await response.json()) as {
      readonly result: Result;
      readonly error?: { readonly message: string };
    };
    if (error !== undefined) throw new Error(error.message);
    return result;
  }
}

/** Where a node is asked about one private state. */
export function stateUrl(url: string, resident: string | undefined): string {
  return resident === undefined ? url : `${url}/?PSI=${resident}`;
}
