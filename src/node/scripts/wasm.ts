/**
 * QuickJS as WebAssembly, with a memory of a size that is set here. The types of WebAssembly come
 * with those of a browser only, and the package's own name its default export differently than
 * Node gives it: both are put right in this file.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as wasmfile from '@jitl/quickjs-wasmfile-release-sync';
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSRuntime,
  type QuickJSSyncVariant,
} from 'quickjs-emscripten-core';

interface MemoryLimits {
  readonly initial: number;
  readonly maximum: number;
}

interface WasmApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Memory: new (pages: MemoryLimits) => object;
}

const api: WasmApi = Reflect.get(globalThis, 'WebAssembly');
const exported: unknown = wasmfile.default;
const variant = variantOf(exported);
let compiled: object | undefined;

const PAGE_BYTES = 65_536;
/** What the interpreter itself takes: its data, its stack, its built-in objects. */
const OWN_PAGES = 256;

/** A fresh interpreter whose memory ends `heapBytes` beyond what it needs itself. */
export async function freshRuntime(heapBytes: number): Promise<QuickJSRuntime> {
  compiled ??= new api.Module(readFileSync(wasmPath()));
  const maximum = OWN_PAGES + Math.ceil(heapBytes / PAGE_BYTES);
  const wasmMemory = new api.Memory({ initial: OWN_PAGES, maximum });
  const options = { wasmModule: compiled, wasmMemory };
  const instance = await newQuickJSWASMModuleFromVariant(newVariant(variant, options));
  return instance.newRuntime();
}

function wasmPath(): string {
  return createRequire(import.meta.url).resolve('@jitl/quickjs-wasmfile-release-sync/wasm');
}

function variantOf(value: unknown): QuickJSSyncVariant {
  const inner: unknown = Reflect.get(Object(value), 'default') ?? value;
  if (Reflect.get(Object(inner), 'type') !== 'sync')
    throw new TypeError('QuickJS is not there');
  return inner as QuickJSSyncVariant;
}
