/**
 * What a governed script finds in its world before it begins (governance.md §9): a function that
 * QuickJS calls with the host's functions. They are kept in its closure; a script sees `ccf` and
 * `console` only. Whatever it does to the built-in objects it does to itself, because each call
 * has a world of its own.
 */
export const PRELUDE = `(function (host, settings) {
  'use strict';
  const { apply } = Reflect;
  const sizeOf = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'byteLength').get;
  const { stringify, parse } = JSON;
  const buffer = (value, what) => {
    try {
      apply(sizeOf, value, []);
    } catch {
      throw new TypeError(what + ' must be an ArrayBuffer');
    }
    return value;
  };
  const text = (value, what) => {
    if (typeof value !== 'string') throw new TypeError(what + ' must be a string');
    return value;
  };

  class KvMap {
    #name;
    constructor(name) {
      this.#name = name;
    }
    has(key) {
      return host.get(this.#name, buffer(key, 'key')) !== undefined;
    }
    get(key) {
      return host.get(this.#name, buffer(key, 'key'));
    }
    set(key, value) {
      host.put(this.#name, buffer(key, 'key'), buffer(value, 'value'));
      return this;
    }
    delete(key) {
      return host.remove(this.#name, buffer(key, 'key'));
    }
    clear() {
      host.clear(this.#name);
    }
    forEach(callback) {
      for (const key of host.keys(this.#name)) {
        const value = host.get(this.#name, key);
        if (value !== undefined) callback(value, key, this);
      }
    }
    get size() {
      return host.keys(this.#name).length;
    }
    getVersionOfPreviousWrite(key) {
      return host.version(this.#name, buffer(key, 'key'));
    }
  }

  const handles = new Map();
  const kv = new Proxy(Object.create(null), {
    get(target, name) {
      if (typeof name !== 'string') return undefined;
      if (!handles.has(name)) handles.set(name, new KvMap(name));
      return handles.get(name);
    },
    set() {
      throw new TypeError('ccf.kv cannot be assigned to');
    },
  });

  const effect = (name, ...args) => {
    host.effect(name, stringify(args));
  };
  const textOf = (bytes, what) => host.text(buffer(bytes, what));
  const crypto = {
    digest: (algorithm, data) =>
      host.digest(text(algorithm, 'algorithm'), buffer(data, 'data')),
    verifySignature: (algorithm, key, signature, data) =>
      host.verify(
        stringify(algorithm),
        text(key, 'key'),
        buffer(signature, 'signature'),
        buffer(data, 'data'),
      ),
    isValidX509CertBundle: (pem) => typeof pem === 'string' && host.isBundle(pem),
    isValidX509CertChain: (chain, trusted) =>
      host.isChain(text(chain, 'chain'), text(trusted, 'trusted')),
    isValidPublicKey: (pem) => typeof pem === 'string' && host.isPublicKey(pem),
  };
  const ccf = {
    strToBuf: (value) => host.bytes(text(value, 'argument')),
    bufToStr: (value) => textOf(value, 'argument'),
    jsonCompatibleToBuf: (value) => host.bytes(stringify(value)),
    bufToJsonCompatible: (value) => parse(textOf(value, 'argument')),
    pemToId: (pem) => host.pemToId(text(pem, 'argument')),
    tcbHexToPolicy: (cpuid, hex) =>
      parse(host.tcb(text(cpuid, 'cpuid'), text(hex, 'tcb_version'))),
    enableUntrustedDateTime: () => true,
    enableMetricsLogging: () => false,
    digest: crypto.digest,
    isValidX509CertBundle: crypto.isValidX509CertBundle,
    isValidX509CertChain: crypto.isValidX509CertChain,
    crypto,
    kv,
    gov: {
      validateConstitution: (source) => host.validateConstitution(text(source, 'argument')),
    },
  };
  if (settings.apply) {
    ccf.node = {
      triggerLedgerRekey: () => {
        effect('triggerLedgerRekey');
        return true;
      },
      transitionServiceToOpen: (previous, next) =>
        effect(
          'transitionServiceToOpen',
          previous === undefined ? null : textOf(previous, 'previous identity'),
          textOf(next, 'next identity'),
        ),
      triggerRecoverySharesRefresh: () => effect('triggerRecoverySharesRefresh'),
      triggerLedgerChunk: () => effect('triggerLedgerChunk'),
      triggerSnapshot: () => effect('triggerSnapshot'),
    };
    ccf.network = {
      getLatestLedgerSecretSeqno: () =>
        Number(host.ask('getLatestLedgerSecretSeqno', '[]')),
      generateEndorsedCertificate: (csr, validFrom, days) =>
        host.ask('generateEndorsedCertificate', stringify([csr, validFrom, days])),
      generateNetworkCertificate: (validFrom, days) =>
        host.ask('generateNetworkCertificate', stringify([validFrom, days])),
    };
    ccf.refreshAppBytecodeCache = () => effect('refreshAppBytecodeCache');
    ccf.setJwtPublicSigningKeys = (issuer, metadata, jwks) => {
      effect('setJwtPublicSigningKeys', issuer, metadata ?? null, jwks);
      return true;
    };
    ccf.removeJwtPublicSigningKeys = (issuer) => effect('removeJwtPublicSigningKeys', issuer);
  }
  for (const part of Object.values(ccf)) if (typeof part === 'object') Object.freeze(part);
  Object.defineProperty(globalThis, 'ccf', { value: Object.freeze(ccf) });

  const said = (value) => {
    if (typeof value === 'string') return value;
    try {
      return stringify(value) ?? String(value);
    } catch {
      return '[object]';
    }
  };
  const say = (level) => (...values) => host.log(level, values.map(said).join(' '));
  globalThis.console = Object.freeze({
    log: say('info'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
  });

  // Neither the time nor chance of the machine: what the caller gave stands for them.
  Math.random = () => host.random();
  const RealDate = Date;
  const { now } = settings;
  const FixedDate = function Date(...parts) {
    if (new.target === undefined) return new RealDate(now).toString();
    const made = parts.length === 0 ? new RealDate(now) : new RealDate(...parts);
    return made;
  };
  FixedDate.prototype = RealDate.prototype;
  RealDate.prototype.constructor = FixedDate;
  FixedDate.now = () => now;
  FixedDate.parse = RealDate.parse;
  FixedDate.UTC = RealDate.UTC;
  globalThis.Date = FixedDate;
  delete globalThis.performance;

  return (callee, args) => {
    const value = callee(...parse(args));
    return value === undefined ? undefined : stringify(value);
  };
})`;
