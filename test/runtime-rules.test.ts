// The service runs with code generation from strings and `__proto__` turned off (design
// decision 16). Every runtime dependency is loaded and used once under exactly those rules, so
// that an upgrade which needs either is noticed here and not in a node.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '..');
const rules = ['--disallow-code-generation-from-strings', '--disable-proto=delete'];

/** One use of each dependency; the last expression printed is what the test compares. */
const uses: Readonly<Record<string, { readonly code: string; readonly prints: string }>> = {
  cborg: {
    code: `const { encode, decode } = await import('cborg');
      console.log(decode(encode({ a: [1, 2] })).a.length);`,
    prints: '2',
  },
  'quickjs-emscripten-core': {
    code: `const core = await import('quickjs-emscripten-core');
      const { default: variant } = await import('@jitl/quickjs-wasmfile-release-sync');
      const context = (await core.newQuickJSWASMModuleFromVariant(variant)).newContext();
      console.log(context.getNumber(context.unwrapResult(context.evalCode('6 * 7'))));`,
    prints: '42',
  },
  '@jitl/quickjs-wasmfile-release-sync': {
    code: `const { default: variant } = await import('@jitl/quickjs-wasmfile-release-sync');
      console.log(variant.type);`,
    prints: 'sync',
  },
  '@azure/attestation': {
    code: `const { default: maa } = await import('@azure/attestation');
      const credential = { getToken: async () => ({ token: 't', expiresOnTimestamp: 1 }) };
      const client = new maa.AttestationAdministrationClient('https://localhost', credential);
      console.log(typeof client.getPolicy);`,
    prints: 'function',
  },
  '@azure/keyvault-keys': {
    code: `const { KeyClient } = await import('@azure/keyvault-keys');
      const credential = { getToken: async () => ({ token: 't', expiresOnTimestamp: 1 }) };
      console.log(new KeyClient('https://localhost', credential).vaultUrl);`,
    prints: 'https://localhost',
  },
  jose: {
    code: `const { SignJWT, generateKeyPair, jwtVerify } = await import('jose');
      const { privateKey, publicKey } = await generateKeyPair('RS256');
      const token = await new SignJWT({ a: 1 }).setProtectedHeader({ alg: 'RS256' })
        .sign(privateKey);
      console.log((await jwtVerify(token, publicKey)).payload.a);`,
    prints: '1',
  },
  level: {
    code: `const { Level } = await import('level');
      const db = new Level(process.argv[1], { valueEncoding: 'view' });
      await db.put('key', new Uint8Array([7]));
      console.log((await db.get('key'))[0]);
      await db.close();`,
    prints: '7',
  },
  '@noble/curves': {
    code: `const { ed25519, x25519 } = await import('@noble/curves/ed25519.js');
      const { secretKey, publicKey } = ed25519.keygen();
      const text = new Uint8Array([1, 2, 3]);
      console.log(ed25519.verify(ed25519.sign(text, secretKey), text, publicKey),
        x25519.keygen().publicKey.length);`,
    prints: 'true 32',
  },
  '@noble/ciphers': {
    code: `const { xsalsa20poly1305 } = await import('@noble/ciphers/salsa.js');
      const key = new Uint8Array(32), nonce = new Uint8Array(24);
      const sealed = xsalsa20poly1305(key, nonce).encrypt(new Uint8Array(5));
      console.log(xsalsa20poly1305(key, nonce).decrypt(sealed).length);`,
    prints: '5',
  },
  'reflect-metadata': {
    code: `await import('reflect-metadata');
      const target = {};
      Reflect.defineMetadata('k', 'v', target);
      console.log(Reflect.getMetadata('k', target));`,
    prints: 'v',
  },
  '@peculiar/x509': {
    code: `await import('reflect-metadata');
      const x509 = await import('@peculiar/x509');
      const keys = await crypto.subtle.generateKey(
        { name: 'ECDSA', namedCurve: 'P-384' }, true, ['sign', 'verify']);
      const certificate = await x509.X509CertificateGenerator.createSelfSigned({
        serialNumber: '01', name: 'CN=test', keys,
        signingAlgorithm: { name: 'ECDSA', hash: 'SHA-384' } });
      console.log(certificate.subject, await certificate.verify());`,
    prints: 'CN=test true',
  },
  'prom-client': {
    code: `const { Counter, Registry } = await import('prom-client');
      const registry = new Registry();
      new Counter({ name: 'n_total', help: 'n', registers: [registry] }).inc(3);
      console.log((await registry.metrics()).includes('n_total 3'));`,
    prints: 'true',
  },
  protobufjs: {
    code: `const { default: protobuf } = await import('protobufjs/minimal.js');
      const bytes = protobuf.Writer.create().uint32(8).uint64(2 ** 40).finish();
      const reader = protobuf.Reader.create(bytes);
      console.log(reader.tag(), String(reader.uint64()));`,
    prints: '8 1099511627776',
  },
};

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
};

function runUnderRules(code: string): { readonly stdout: string; readonly stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), 'concordat-rules-'));
  try {
    const program = ['--input-type=module', '--eval', code, folder];
    return spawnSync(process.execPath, [...rules, ...program], { cwd: root, encoding: 'utf8' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('every runtime dependency has a use below', () => {
  expect(Object.keys(uses).sort()).toEqual(Object.keys(manifest.dependencies).sort());
});

test.each(Object.entries(uses))('%s works under the rules', (_name, { code, prints }) => {
  const { stdout, stderr } = runUnderRules(code);
  expect(stderr).toBe('');
  expect(stdout.trim()).toBe(prints);
});

test('planted: the rules really refuse code made from strings, and __proto__', () => {
  expect(runUnderRules(`new Function('return 1')();`).stderr).toContain('EvalError');
  expect(runUnderRules(`console.log('__proto__' in {});`).stdout.trim()).toBe('false');
});
