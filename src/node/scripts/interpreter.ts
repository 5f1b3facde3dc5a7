/**
 * Runs one script in QuickJS, compiled to WebAssembly. Each run has an instance of its own, with a
 * memory of its own that cannot grow beyond the limit: nothing of a script outlives it, and what
 * breaks the interpreter breaks one run.
 *
 * Time is looked at between instructions. Some single instructions (a regular expression that
 * backtracks for ever) are never interrupted: against those only the end of the thread helps
 * (`worker-runner.ts`).
 */
import type { QuickJSContext, QuickJSHandle, QuickJSRuntime } from 'quickjs-emscripten-core';
import type {
  JsonValue,
  ScriptAccess,
  ScriptEffect,
  ScriptFailure,
  ScriptJob,
  ScriptOutcome,
  ScriptTables,
} from '../../governance/scripts.ts';
import {
  type HostFunction,
  type HostValue,
  hostFunctions,
  Question,
} from './host-functions.ts';
import { PRELUDE } from './prelude.ts';
import { ScriptTableSet } from './script-tables.ts';
import { freshRuntime } from './wasm.ts';

export interface InterpreterDependencies {
  /** Milliseconds that never go back; a simulation counts looks instead. */
  readonly elapsedMs: () => number;
  /** From 0 up to, but not including, 1. */
  readonly random: () => number;
}

const TRACE_CHARACTERS_MAX = 4_000;

/** Runs a script to its end, or to one of its limits. */
export async function interpret(
  job: ScriptJob,
  tables: ScriptTables,
  dependencies: InterpreterDependencies,
): Promise<ScriptOutcome> {
  const runtime = await freshRuntime(job.limits.heapBytes);
  return new Run(job, tables, dependencies).run(runtime);
}

class Run {
  readonly #job: ScriptJob;
  readonly #deps: InterpreterDependencies;
  readonly #tables: ScriptTableSet;
  readonly #log: string[] = [];
  readonly #effects: ScriptEffect[] = [];
  readonly #beganMs: number;
  #question: ScriptEffect | undefined;
  #outOfTime = false;

  constructor(job: ScriptJob, tables: ScriptTables, dependencies: InterpreterDependencies) {
    this.#job = job;
    this.#deps = dependencies;
    this.#tables = new ScriptTableSet(job.access, tables);
    this.#beganMs = dependencies.elapsedMs();
  }

  run(runtime: QuickJSRuntime): ScriptOutcome {
    const { limits } = this.#job;
    runtime.setMaxStackSize(limits.stackBytes);
    runtime.setInterruptHandler(() => {
      if (this.#usedMs() > limits.ms) this.#outOfTime = true;
      return this.#outOfTime || this.#question !== undefined;
    });
    runtime.setModuleLoader((name) => ({
      error: new Error(`there is no module ${JSON.stringify(name)}: a script stands alone`),
    }));
    try {
      return this.#call(runtime);
    } catch (thrown) {
      if (thrown instanceof ScriptError) return this.#threw(thrown);
      return this.#threw(new ScriptError(trapOf(thrown), `interpreter failed: ${thrown}`));
    }
  }

  #call(runtime: QuickJSRuntime): ScriptOutcome {
    const { access, args, function: name, source, name: file } = this.#job;
    const context = runtime.newContext();
    const caller = this.#prepare(context, access, runtime);
    const exports = this.#evaluate(context, source, file);
    const callee = context.getProp(exports, name);
    if (context.typeof(callee) !== 'function') {
      throw new ScriptError('exception', `${file} does not export a function ${name}`);
    }
    const argument = context.newString(JSON.stringify(args));
    const called = context.callFunction(caller, context.undefined, callee, argument);
    if (called.error) throw this.#errorOf(context, called.error);
    if (this.#question !== undefined) return this.#asks(this.#question);
    const value =
      context.typeof(called.value) === 'string'
        ? (JSON.parse(context.getString(called.value)) as JsonValue)
        : undefined;
    return {
      ...{ kind: 'returned', value, ...this.#traces() },
      ...{ writes: this.#tables.writes, effects: this.#effects },
    };
  }

  /** Puts the prelude in place; gives back the function by which scripts are called. */
  #prepare(
    context: QuickJSContext,
    access: ScriptAccess,
    runtime: QuickJSRuntime,
  ): QuickJSHandle {
    const host = context.newObject();
    const functions = hostFunctions({
      tables: access === 'none' ? new ScriptTableSet('none', () => []) : this.#tables,
      answers: this.#job.answers,
      log: this.#log,
      effects: this.#effects,
      random: this.#deps.random,
      validateConstitution: (source) => this.#validateConstitution(runtime, source),
    });
    for (const [name, act] of Object.entries(functions)) {
      const handle = context.newFunction(name, (...handles) =>
        this.#onCall(context, act, handles),
      );
      context.setProp(host, name, handle);
    }
    const settings = context.newObject();
    context.setProp(settings, 'now', context.newNumber(this.#job.nowMs));
    context.setProp(settings, 'apply', access === 'apply' ? context.true : context.false);
    const prelude = context.evalCode(PRELUDE, 'prelude', { type: 'global' });
    if (prelude.error) throw this.#errorOf(context, prelude.error);
    const made = context.callFunction(prelude.value, context.undefined, host, settings);
    if (made.error) throw this.#errorOf(context, made.error);
    return made.value;
  }

  #onCall(
    context: QuickJSContext,
    act: HostFunction,
    handles: readonly QuickJSHandle[],
  ): QuickJSHandle {
    try {
      return handleOf(context, act(...handles.map((handle) => hostValueOf(context, handle))));
    } catch (thrown) {
      if (thrown instanceof Question) this.#question = thrown.question;
      throw thrown instanceof Error ? thrown : new Error(String(thrown));
    }
  }

  /** Runs a module; gives back what it exports. */
  #evaluate(context: QuickJSContext, source: string, file: string): QuickJSHandle {
    const evaluated = context.evalCode(source, file, { type: 'module' });
    if (evaluated.error) throw this.#errorOf(context, evaluated.error);
    const state = context.getPromiseState(evaluated.value);
    if (state.type === 'rejected') throw this.#errorOf(context, state.error);
    if (state.type === 'pending') {
      throw new ScriptError('exception', `${file} awaits at its top level, which never ends`);
    }
    return state.value;
  }

  /** governance.md §6, last paragraph. */
  #validateConstitution(runtime: QuickJSRuntime, source: string): void {
    const context = runtime.newContext();
    this.#prepare(context, 'none', runtime);
    const exports = this.#evaluate(context, source, 'proposed constitution');
    for (const [name, counts] of CONSTITUTION_EXPORTS) {
      const handle = context.getProp(exports, name);
      if (context.typeof(handle) !== 'function') {
        throw new TypeError(`${name} function is missing from the constitution`);
      }
      const count = context.getNumber(context.getProp(handle, 'length'));
      if (!counts.includes(count)) {
        const wanted = counts.join(' or ');
        throw new TypeError(
          `${name} of the constitution takes ${count} arguments, not ${wanted}`,
        );
      }
    }
  }

  #errorOf(context: QuickJSContext, handle: QuickJSHandle): ScriptError {
    if (this.#outOfTime) {
      return new ScriptError('time', `Operation took longer than ${this.#job.limits.ms} ms`);
    }
    const said: unknown = context.dump(handle);
    if (said === null || said === undefined) return new ScriptError('memory', 'out of memory');
    if (typeof said !== 'object') return new ScriptError('exception', String(said));
    const { name, message, stack } = said as Readonly<Record<string, unknown>>;
    const reason =
      typeof name === 'string' ? `${name}: ${String(message)}` : JSON.stringify(said);
    return new ScriptError(failureOf(name, message), reason, stack);
  }

  #threw({ failure, message, trace }: ScriptError): ScriptOutcome {
    if (this.#question !== undefined) return this.#asks(this.#question);
    return {
      ...{ kind: 'threw', failure, reason: message.slice(0, TRACE_CHARACTERS_MAX) },
      ...(trace === undefined ? {} : { trace: trace.slice(0, TRACE_CHARACTERS_MAX) }),
      ...this.#traces(),
    };
  }

  #asks(question: ScriptEffect): ScriptOutcome {
    return { kind: 'asks', question, ...this.#traces() };
  }

  #traces(): Pick<ScriptOutcome, 'reads' | 'log' | 'usedMs'> {
    return { reads: this.#tables.reads, log: this.#log, usedMs: this.#usedMs() };
  }

  #usedMs(): number {
    return this.#deps.elapsedMs() - this.#beganMs;
  }
}

const CONSTITUTION_EXPORTS: readonly (readonly [string, readonly number[]])[] = [
  ['validate', [1]],
  ['resolve', [3, 4]],
  ['apply', [2]],
];

class ScriptError extends Error {
  readonly failure: ScriptFailure;
  readonly trace: string | undefined;

  constructor(failure: ScriptFailure, reason: string, trace?: unknown) {
    super(reason);
    this.failure = failure;
    this.trace = typeof trace === 'string' && trace !== '' ? trace : undefined;
  }
}

function failureOf(name: unknown, message: unknown): ScriptFailure {
  if (message === 'stack overflow') return 'stack';
  if (name === 'InternalError' && message === 'out of memory') return 'memory';
  return 'exception';
}

/** What WebAssembly itself says when a script went beyond what it can do. */
function trapOf(thrown: unknown): ScriptFailure {
  return thrown instanceof RangeError ? 'stack' : 'interpreter';
}

function hostValueOf(context: QuickJSContext, handle: QuickJSHandle): HostValue {
  switch (context.typeof(handle)) {
    case 'string':
      return context.getString(handle);
    case 'number':
      return context.getNumber(handle);
    case 'boolean':
      return context.dump(handle) === true;
    case 'undefined':
      return undefined;
    default:
      return bytesOf(context, handle);
  }
}

/** A copy: the interpreter's memory moves. */
function bytesOf(context: QuickJSContext, handle: QuickJSHandle): Uint8Array {
  const held = context.getArrayBuffer(handle);
  const copy = held.value.slice();
  held.dispose();
  return copy;
}

function handleOf(context: QuickJSContext, value: HostValue): QuickJSHandle {
  switch (typeof value) {
    case 'string':
      return context.newString(value);
    case 'number':
      return context.newNumber(value);
    case 'boolean':
      return value ? context.true : context.false;
    case 'undefined':
      return context.undefined;
  }
  if (value instanceof Uint8Array) {
    const copy = new Uint8Array(value.length);
    copy.set(value);
    return context.newArrayBuffer(copy.buffer);
  }
  const array = context.newArray();
  value.forEach((each, index) => {
    context.setProp(array, index, handleOf(context, each));
  });
  return array;
}
