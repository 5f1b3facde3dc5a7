/**
 * What a sandbox says when it is ready: one line of JSON that harnesses build on. Fields are only
 * ever added.
 */

export interface ReadyLine {
  readonly ready: true;
  /** The sandbox's folder. */
  readonly data: string;
  readonly service: { readonly url: string; readonly certificate: string };
  readonly nodes: readonly {
    readonly url: string;
    /** The folder of its chunk files. */
    readonly ledger: string;
    /** The operator's own listener, with `/metrics`, `/ready` and `/status`. */
    readonly operator: { readonly url: string };
    readonly nodeId: string;
    /** Its process, until it is started again. */
    readonly pid: number;
    /** `host:port` at which other nodes reach it. */
    readonly peer: string;
    /** Where Tessera nodes outside reach it, if it speaks with them. */
    readonly federation?: { readonly url: string };
  }[];
  readonly organisations: readonly {
    readonly name: string;
    readonly partyKeys: readonly string[];
    readonly transactionManager: { readonly url: string; readonly socket: string };
    readonly thirdParty: { readonly url: string };
    readonly certificate: string;
    readonly key: string;
  }[];
  readonly members: readonly {
    readonly certificate: string;
    readonly key: string;
    readonly encryptionKey: string;
  }[];
}
