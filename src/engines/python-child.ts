import { spawn } from 'node:child_process';
import { fail } from '../errors/problem.ts';

const STDERR_BYTES_MAX = 4096;

/** What a Python program is run with. */
export interface PythonRun {
  /** A Python, by name or path. */
  readonly python: string;
  /** The program and its arguments. */
  readonly parameters: readonly string[];
  /** What it is for, where it is missing: `PyTorch`. */
  readonly engine: string;
  /** Where it runs; the folder of this process unless said. */
  readonly folder?: string | undefined;
  readonly timeLimitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Modules that are packages of their own name; any other may be the user's. */
const PACKAGES: ReadonlySet<string> = new Set(['torch', 'numpy', 'keras', 'tensorflow']);

/** Variables that a Python needs to find itself and its packages; tokens of a CI job are none of them. */
const PASSED_ON =
  /^(?:PATH|HOME|USER|LANG|TZ|TMPDIR|TEMP|TMP|SYSTEMROOT|USERPROFILE|APPDATA|VIRTUAL_ENV|CONDA_PREFIX|LD_LIBRARY_PATH|(?:LC|DYLD|PYTHON|PYENV|OMP|MKL|TF|KERAS|CUDA)_?\w*)$/i;

/**
 * Runs a Python program in a process group of its own, which is ended as a whole when the time is over or the signal
 * comes. It sees none of the environment but what Python needs; what it prints is dropped. Answers with its exit code
 * and the end of its stderr. Throws ENGINE_MISSING where there is no such Python, or it lacks a module.
 */
export async function runPython(
  run: PythonRun,
): Promise<{ readonly code: number | null; readonly said: string }> {
  const { python, engine } = run;
  const { code, stderr, late, missing } = await spawned(run);
  const told = `${engine} through ${python}`;
  if (missing !== undefined) {
    fail('ENGINE_MISSING', {
      engine: told,
      reason: `${missing} (install Python 3, or name the one that has it)`,
    });
  }
  const module = /No module named '?(\w+)/.exec(stderr)?.[1];
  if (code !== 0 && module !== undefined) {
    const install = PACKAGES.has(module) ? ` (${python} -m pip install ${module})` : '';
    const reason = `it has no module ${module}${install}`;
    fail('ENGINE_MISSING', { engine: told, reason });
  }
  const last = stderr.trim().split('\n').at(-1) || `it ended with exit code ${code}`;
  return { code, said: late ? `it took longer than ${run.timeLimitMs / 1000} s` : last };
}

interface Ended {
  readonly code: number | null;
  readonly stderr: string;
  readonly late: boolean;
  /** Why it did not start at all. */
  readonly missing?: string;
}

function spawned({ python, parameters, folder, timeLimitMs, signal }: PythonRun): Promise<Ended> {
  return new Promise((resolve) => {
    const environment = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name));
    const child = spawn(python, parameters, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...Object.fromEntries(environment), PYTHONDONTWRITEBYTECODE: '1' },
      detached: process.platform !== 'win32',
      ...(folder === undefined ? {} : { cwd: folder }),
    });
    let stderr = '';
    let late = false;
    const end = () => {
      try {
        if (child.pid !== undefined)
          process.kill(process.platform === 'win32' ? child.pid : -child.pid, 'SIGKILL');
      } catch {
        // It has ended already.
      }
    };
    const timer = setTimeout(() => {
      late = true;
      end();
    }, timeLimitMs);
    signal?.addEventListener('abort', end, { once: true });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-STDERR_BYTES_MAX);
    });
    const done = (ended: Partial<Ended>) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve({ code: null, stderr, late, ...ended });
    };
    child.once('error', (error) => done({ missing: error.message }));
    child.once('close', (code) => done({ code }));
  });
}
