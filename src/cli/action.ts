/** Commands of several actions: a word after the name says which, as in `concordat node join`. */
import { CodedError } from '../base/errors.ts';
import type { Command, CommandIo } from './command.ts';

/** One of those words, with its own options and help. */
export interface Action {
  readonly name: string;
  readonly usage: string;
  run(args: readonly string[], io: CommandIo): Promise<number>;
}

/** The command of some actions; one without a known action is refused, and told which there are. */
export function commandOf(
  about: Pick<Command, 'name' | 'summary'> & { readonly usage: string },
  actions: readonly Action[],
): Command {
  const actionOf = (name: string | undefined): Action | undefined =>
    actions.find((each) => each.name === name);
  return {
    ...about,
    usageOf: ([name]) => actionOf(name)?.usage ?? about.usage,
    run: async ([name, ...rest], io) => {
      const action = actionOf(name);
      if (action !== undefined) return await action.run(rest, io);
      const names = actions.map((each) => each.name).join(', ');
      const said = name === undefined ? 'nothing' : JSON.stringify(name);
      throw new CodedError('Usage', `say what to do: ${names}; not ${said}`);
    },
  };
}
