/**
 * Runs scripts in the thread that asks: for simulations, tests, and whoever tries a constitution
 * without a node. A script that never comes to an interruptible instruction is not stopped here.
 */
import type { ScriptRunner } from '../../governance/scripts.ts';
import { type InterpreterDependencies, interpret } from './interpreter.ts';

export function threadRunner(dependencies: InterpreterDependencies): ScriptRunner {
  return {
    run: (job, tables) => interpret(job, tables, dependencies),
    close: () => Promise.resolve(),
  };
}
