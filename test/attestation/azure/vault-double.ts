// Azure Key Vault (Premium) on this machine: keys under release policies, released to attestation
// tokens that fulfil them, really wrapped and really signed (key-release.md).

import {
  constants,
  createCipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  publicEncrypt,
  randomBytes,
  verify,
  X509Certificate,
} from 'node:crypto';
import type { ECDSA } from '@noble/curves/abstract/weierstrass.js';
import { p256, p384 } from '@noble/curves/nist.js';
import { foretellRelease, readReleasePolicy } from '../../../src/attestation/release-policy.ts';
import { AT_MS, pemOf } from '../fake-certificates.ts';
import {
  type Answer,
  type Asked,
  type HttpsDouble,
  httpsDouble,
  makeAuthority,
  makeLeaf,
  type TestAuthority,
} from './https-double.ts';
import { base64Url, type Json, type MaaSigner, signedToken } from './maa-signer.ts';

/** What is about to be signed; a test changes it to what the service would never say. */
export interface Release {
  readonly header: Json;
  readonly payload: Json;
  readonly key: KeyObject;
}

export interface VaultDoubleOptions {
  /** Attestation services whose tokens count, by their issuer. */
  readonly issuers: readonly MaaSigner[];
  readonly forge?: (release: Release, vault: VaultKeys) => Release;
}

interface VaultKeys {
  readonly root: TestAuthority;
  readonly middle: TestAuthority;
  readonly leaf: TestAuthority;
}

export interface VaultDouble extends HttpsDouble, VaultKeys {
  /** PEM of the authority that releases are signed under. */
  readonly authorities: string;
  /** The secret of a key's version, as it is wrapped. */
  secretOf(name: string, version: string): Uint8Array;
}

interface Version {
  readonly version: string;
  readonly kty: string;
  readonly secret: Uint8Array;
  readonly numbers: Json;
  readonly exportable: boolean;
  releasePolicy: Json | undefined;
}

const OAEP = {
  CKM_RSA_AES_KEY_WRAP: 'sha1',
  RSA_AES_KEY_WRAP_256: 'sha256',
  RSA_AES_KEY_WRAP_384: 'sha384',
} as const;
const ALGORITHMS: Readonly<Record<string, { readonly name: string; readonly of: ECDSA }>> = {
  ES256: { name: 'P-256', of: p256 },
  ES384: { name: 'P-384', of: p384 },
};
const ENCRYPTS = ['encrypt', 'decrypt'];
const SIGNS = ['sign', 'verify'];
const CHALLENGE =
  'Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net"';

export async function vaultDouble(options: VaultDoubleOptions): Promise<VaultDouble> {
  const keys = vaultKeys();
  const { root } = keys;
  const stored = new Map<string, Version[]>();
  let service: Vault | undefined;
  const double = await httpsDouble((asked) => service?.answer(asked) ?? { status: 503 });
  service = new Vault(double.url, options, keys, stored);
  return {
    ...double,
    ...keys,
    authorities: pemOf(root.certificate),
    secretOf: (name, version) => {
      const found = stored.get(name)?.find((one) => one.version === version);
      if (found === undefined) throw new Error(`there is no ${name} ${version}`);
      return found.secret;
    },
  };
}

let made: VaultKeys | undefined;

/** Made once in a process, as keys of RSA take their time. */
function vaultKeys(): VaultKeys {
  if (made !== undefined) return made;
  const root = makeAuthority('Test Root of Vaults');
  const middle = makeAuthority('Test Authority of Vaults', root);
  made = { root, middle, leaf: makeLeaf('localhost', middle) };
  return made;
}

class Vault {
  readonly #url: string;
  readonly #options: VaultDoubleOptions;
  readonly #keys: VaultKeys;
  readonly #stored: Map<string, Version[]>;

  constructor(
    url: string,
    options: VaultDoubleOptions,
    keys: VaultKeys,
    stored: Map<string, Version[]>,
  ) {
    this.#url = url;
    this.#options = options;
    this.#keys = keys;
    this.#stored = stored;
  }

  answer({ method, path, query, headers, body }: Asked): Answer {
    if (headers.authorization === undefined) {
      return { status: 401, headers: { 'www-authenticate': CHALLENGE } };
    }
    if (query.get('api-version') !== '2025-07-01')
      return refusal(400, 'BadParameter', 'version');
    const [, name = '', ...rest] = path.split('/').filter((part) => part !== '');
    const asked: Json = body === '' ? {} : JSON.parse(body);
    const verb = rest.at(-1);
    if (method === 'POST' && verb === 'create') return this.#create(name, asked);
    if (method === 'PUT') return this.#import(name, asked);
    if (method === 'POST' && verb === 'release') return this.#release(name, rest, asked);
    const version = this.#version(name, rest[0] === 'sign' ? undefined : rest[0]);
    if (version === undefined) return refusal(404, 'KeyNotFound', `there is no key ${name}`);
    if (method === 'POST' && verb === 'sign') return this.#sign(name, version, asked);
    if (method === 'PATCH') {
      if (version.releasePolicy?.immutable === true) {
        return refusal(400, 'BadParameter', 'the release policy is immutable');
      }
      version.releasePolicy = objectOf(asked.release_policy);
    }
    return { body: this.#bundle(name, version) };
  }

  #create(name: string, asked: Json): Answer {
    const kty = String(asked.kty);
    if (kty === 'oct-HSM') return this.#keep(name, kty, randomBytes(32), {}, asked);
    const { privateKey, publicKey } =
      kty === 'EC' || kty === 'EC-HSM'
        ? generateKeyPairSync('ec', { namedCurve: String(asked.crv) })
        : generateKeyPairSync('rsa', { modulusLength: Number(asked.key_size) });
    const { kty: _, ...numbers } = publicKey.export({ format: 'jwk' });
    const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
    return this.#keep(name, kty, pkcs8, numbers, asked);
  }

  #import(name: string, asked: Json): Answer {
    const key = objectOf(asked.key);
    const kty = `${String(key.kty).replace('-HSM', '')}${asked.Hsm === true ? '-HSM' : ''}`;
    return this.#keep(name, kty, Buffer.from(String(key.k), 'base64url'), {}, asked);
  }

  #keep(name: string, kty: string, secret: Uint8Array, numbers: Json, asked: Json): Answer {
    const exportable = objectOf(asked.attributes).exportable === true;
    const policy = asked.release_policy;
    if (exportable && (policy === undefined || !kty.endsWith('-HSM'))) {
      const why = 'exportable keys need a release policy and protection by hardware';
      return refusal(400, 'BadParameter', why);
    }
    const releasePolicy = policy === undefined ? undefined : objectOf(policy);
    if (releasePolicy !== undefined) {
      try {
        readReleasePolicy(Buffer.from(String(releasePolicy.data), 'base64url').toString());
      } catch (thrown) {
        return refusal(400, 'BadParameter', String(thrown));
      }
    }
    const version = randomBytes(16).toString('hex');
    const made = { version, kty, secret, numbers, exportable, releasePolicy };
    this.#stored.set(name, [...(this.#stored.get(name) ?? []), made]);
    return { body: this.#bundle(name, made) };
  }

  #version(name: string, version: string | undefined): Version | undefined {
    const versions = this.#stored.get(name);
    return version === undefined
      ? versions?.at(-1)
      : versions?.find((one) => one.version === version);
  }

  #bundle(name: string, { version, kty, numbers, exportable, releasePolicy }: Version): Json {
    const kid = `${this.#url}/keys/${name}/${version}`;
    return {
      key: { kid, kty, key_ops: kty === 'EC' ? SIGNS : ENCRYPTS, ...numbers },
      attributes: { enabled: true, exportable, recoveryLevel: 'Recoverable+Purgeable' },
      release_policy: releasePolicy,
    };
  }

  #sign(name: string, version: Version, { alg, value }: Json): Answer {
    const { d = '', crv = '' } = createPrivateKey({
      ...{ key: Buffer.from(version.secret), type: 'pkcs8', format: 'der' },
    }).export({ format: 'jwk' });
    const curve = ALGORITHMS[String(alg)];
    if (curve?.name !== crv) return refusal(400, 'BadParameter', `${alg} with a key on ${crv}`);
    const digest = Buffer.from(String(value), 'base64url');
    const options = { prehash: false, lowS: false } as const;
    const signature = curve.of.sign(digest, Buffer.from(d, 'base64url'), options);
    const kid = `${this.#url}/keys/${name}/${version.version}`;
    return { body: { kid, value: base64Url(Buffer.from(signature)) } };
  }

  #release(name: string, rest: readonly string[], asked: Json): Answer {
    const version = this.#version(name, rest.length > 1 ? rest[0] : undefined);
    if (version === undefined) return refusal(404, 'KeyNotFound', `there is no key ${name}`);
    const claims = this.#claimsOf(String(asked.target));
    const policy = readReleasePolicy(
      Buffer.from(String(version.releasePolicy?.data), 'base64url').toString(),
    );
    if (claims === undefined || !foretellRelease(policy, claims).released) {
      const why = 'Target environment attestation statement cannot be verified.';
      return refusal(403, 'Forbidden', why);
    }
    const enc = String(asked.enc);
    if (!isWrap(enc)) return refusal(400, 'BadParameter', `enc ${enc}`);
    return { body: { value: this.#answer(name, version, enc, asked, wrapTo(claims)) } };
  }

  #answer(
    name: string,
    version: Version,
    enc: keyof typeof OAEP,
    asked: Json,
    wrappingKey: KeyObject,
  ): string {
    const bundle = this.#bundle(name, version);
    const { kid } = objectOf(bundle.key);
    const keyHsm = {
      schema_version: '1.0',
      header: { kid: 'TPM', alg: 'dir', enc },
      ciphertext: base64Url(wrap(enc, wrappingKey, version.secret)),
    };
    const payload = {
      request: { 'api-version': '2025-07-01', enc, kid, nonce: asked.nonce },
      response: {
        key: {
          ...bundle,
          key: { ...objectOf(bundle.key), key_hsm: base64Url(JSON.stringify(keyHsm)) },
        },
      },
    };
    const { root, middle, leaf } = this.#keys;
    const usual: Release = { header: headerOf(leaf, middle, root), payload, key: keyOf(leaf) };
    const said = this.#options.forge?.(usual, this.#keys) ?? usual;
    return signedToken(said.header, said.payload, said.key);
  }

  /** Looked at by other code than that which is tested. */
  #claimsOf(token: string): Json | undefined {
    const [head = '', body = '', signature = ''] = token.split('.');
    const header = objectOf(JSON.parse(Buffer.from(head, 'base64url').toString()));
    const claims = objectOf(JSON.parse(Buffer.from(body, 'base64url').toString()));
    const signer = this.#options.issuers.find(({ issuer }) => issuer === claims.iss);
    if (signer === undefined || header.alg !== 'RS256' || header.kid !== signer.kid) return;
    const { publicKey } = new X509Certificate(signer.certificate);
    const signed = Buffer.from(`${head}.${body}`);
    const isGood = verify('sha256', signed, publicKey, Buffer.from(signature, 'base64url'));
    return isGood && Number(claims.exp) * 1000 > AT_MS ? claims : undefined;
  }
}

/** A release's header for a chain of certificates. */
export function headerOf(...chain: readonly TestAuthority[]): Json {
  const [leaf] = chain;
  const der = leaf?.certificate ?? Buffer.alloc(0);
  return {
    alg: 'RS256',
    kid: 'release-signer',
    x5c: chain.map(({ certificate }) => Buffer.from(certificate).toString('base64')),
    'x5t#S256': createHash('sha256').update(der).digest('base64url'),
  };
}

export function keyOf({ keys }: TestAuthority): KeyObject {
  return keys.privateKey;
}

function wrapTo(claims: Json): KeyObject {
  const { keys } = objectOf(claims['x-ms-runtime']);
  const list: readonly unknown[] = Array.isArray(keys) ? keys : [];
  const found = list.map(objectOf).find(({ key_use: use, key_ops: ops }) => {
    return use === 'enc' || (Array.isArray(ops) && ops.includes('encrypt'));
  });
  const { n, e } = found ?? {};
  return createPublicKey({ key: { kty: 'RSA', n: String(n), e: String(e) }, format: 'jwk' });
}

function wrap(name: keyof typeof OAEP, key: KeyObject, secret: Uint8Array): Buffer {
  const kek = randomBytes(32);
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const cipher = createCipheriv('id-aes256-wrap-pad', kek, Buffer.from('A65959A6', 'hex'));
  return Buffer.concat([
    publicEncrypt({ key, padding, oaepHash: OAEP[name] }, kek),
    cipher.update(secret),
    cipher.final(),
  ]);
}

function isWrap(name: string): name is keyof typeof OAEP {
  return Object.hasOwn(OAEP, name);
}

function refusal(status: number, code: string, message: string): Answer {
  return { status, body: { error: { code, message } } };
}

function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
