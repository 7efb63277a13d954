import { rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { ConsiliumError, fail, problem } from '../../errors/problem.ts';
import { frozenTensors } from '../../rounds/batch-norm.ts';
import type { ModelTrace } from '../../weights/probes/model-trace.ts';
import type { TrainerConfig } from '../config.ts';
import { writeFeatureRows } from '../datasets/feature-rows.ts';
import type { EvaluationResult, ProbeTask, Trainer, TrainerTask, TrainingResult } from '../trainer.ts';
import { clipByNorm } from './clip-by-norm.ts';
import { type CommandResult, parseCommandResult, parseProbeResult } from './command-result.ts';
import { KeptOutput } from './kept-output.ts';
import { CANONICAL_WEIGHTS, checkProgramWeights, OwnWeights, weightsFiles } from './own-weights.ts';
import { encodeProbes, PROBE_FILE, readProbeOutputs } from './probe-files.ts';
import { findProgram, runProgram } from './process-tree.ts';
import { ProgramFailure } from './program-failure.ts';
import { ProgressLines } from './progress-lines.ts';
import { shuffleSeed } from './shuffle-seed.ts';
import { TaskFolder } from './task-folder.ts';
import { withdrawal, withdrawnBy } from './withdrawal.ts';

/** Version of the contract in docs/COMMAND_TRAINER.md. */
export const CONTRACT_VERSION = 1;
/** Version that a task with a correction follows: a program that knows only the first refuses it. */
export const CORRECTED_CONTRACT_VERSION = 2;

const TAIL_BYTES = 2_000;
/** Where the rows of a snapshot lie in a task folder. */
const FEATURE_ROWS_FILE = 'rows.csv';

type TaskKind = 'train' | 'evaluate' | 'probe';

/** What a program is told of a task; a probe has no dataset. */
interface CommandTask extends Omit<TrainerTask, 'dataset'> {
  readonly dataset: TrainerTask['dataset'] | undefined;
  readonly probes?: ProbeTask['probes'];
}

/** Where and under what limits a site runs its commands. */
export interface CommandSite {
  /** Folder of this trainer alone: task folders, emptied when it starts, and kept output. */
  readonly directory: string;
  /** Rows below which nothing may leave the site. */
  readonly minimumCount: number;
  /** Milliseconds between SIGTERM and SIGKILL; 5 seconds unless said. */
  readonly graceMs?: number;
}

/**
 * Runs a program of the site for each task, by the contract in docs/COMMAND_TRAINER.md. An update is clipped to the
 * job's norm before it is returned. The site keeps what the program said; of a failure, the last of it is the cause of
 * the error, never part of its public text.
 */
export class CommandTrainer implements Trainer {
  readonly name: string;
  readonly kind = 'command';
  readonly #config: Extract<TrainerConfig, { kind: 'command' }>;
  readonly #site: CommandSite;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  #cleared: Promise<void> | undefined;

  /** `config` with an absolute working directory, or with none for that of this process. */
  constructor(name: string, config: Extract<TrainerConfig, { kind: 'command' }>, site: CommandSite) {
    this.name = name;
    this.#config = config;
    this.#site = site;
  }

  /** The program's name; throws ENGINE_MISSING where it, or its working directory, is not there or cannot be executed. */
  async backend(): Promise<string> {
    const { command, environment } = this.#config;
    const program = command[0]!;
    const engine = `trainer ${this.name}`;
    if (process.platform === 'win32') {
      fail('ENGINE_MISSING', { engine, reason: 'command trainers need process groups (Linux, macOS)' });
    }
    const folder = await stat(this.#workingDirectory()).catch(() => undefined);
    if (!folder?.isDirectory()) {
      fail('ENGINE_MISSING', { engine, reason: 'its working directory is not there' });
    }
    if (!(await findProgram(program, this.#workingDirectory(), environment))) {
      fail('ENGINE_MISSING', { engine, reason: `${basename(program)} is no program that can be executed` });
    }
    if (this.#config.weights) await checkProgramWeights(this.#config.weights);
    return `command ${basename(program)}`;
  }

  /** See `Trainer`. */
  train(task: TrainerTask): Promise<TrainingResult> {
    return this.#run('train', task, async (folder) => {
      const { sampleCount, metrics, backend, localSteps } = await this.#resultOf(folder, task);
      if (task.correction && localSteps === undefined) {
        const reason =
          'its result.json lacks localSteps: it may not know of the correction that scaffold needs';
        fail('TRAINER_FAILED', { reason: `the program broke the contract: ${reason}` });
      }
      const update = await folder.update(task.manifest, task.base);
      if (task.job.clippingNorm !== undefined) clipByNorm(update, task.job.clippingNorm);
      return { update, sampleCount, metrics, backend: backend ?? (await this.backend()), localSteps };
    });
  }

  /** See `Trainer`. */
  evaluate(task: TrainerTask): Promise<EvaluationResult> {
    return this.#run('evaluate', task, async (folder) => {
      const { sampleCount, metrics } = await this.#resultOf(folder, task);
      return { metrics, sampleCount };
    });
  }

  /** See `Trainer`. */
  probe(probe: ProbeTask): Promise<ModelTrace> {
    const task = { ...probe, round: 0, constants: undefined, dataset: undefined, onProgress: () => {} };
    return this.#run('probe', task, async (folder) => {
      const engine = parseProbeResult(await folder.result()) ?? (await this.backend());
      return { engine, channelsLast: false, probes: await readProbeOutputs(folder, probe.probes) };
    });
  }

  /** See `Trainer`. */
  async close(): Promise<void> {
    this.#closing.abort('the site is shutting down');
    await Promise.allSettled(this.#running);
  }

  /** What the program says of its training or evaluation. */
  async #resultOf(folder: TaskFolder, { job }: TrainerTask): Promise<CommandResult> {
    const result = parseCommandResult(await folder.result(), job.sampleCountMax);
    const minimum = this.#site.minimumCount;
    if (result.sampleCount < minimum) fail('COHORT_TOO_SMALL', { have: `< ${minimum}`, minimum });
    return result;
  }

  async #run<Value>(
    kind: TaskKind,
    task: CommandTask,
    read: (folder: TaskFolder) => Promise<Value>,
  ): Promise<Value> {
    const work = this.#do(kind, task, read);
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }

  async #do<Value>(
    kind: TaskKind,
    task: CommandTask,
    read: (folder: TaskFolder) => Promise<Value>,
  ): Promise<Value> {
    if (this.#closing.signal.aborted) throw withdrawal('the site is shutting down');
    if (task.signal.aborted) throw withdrawnBy(task.signal);
    const tasks = join(this.#site.directory, 'tasks');
    // What an earlier process could not remove goes now.
    this.#cleared ??= rm(tasks, { recursive: true, force: true });
    await this.#cleared;
    const { weights } = this.#config;
    const folder = await TaskFolder.create(
      tasks,
      (path) => this.#describe(kind, task, path),
      task.manifest,
      { base: task.base, correction: task.correction },
      weights && (await OwnWeights.plan(weights, task.job.model, task.manifest)),
    );
    const output = await KeptOutput.open(
      join(this.#site.directory, 'output'),
      `${task.job.name}-${task.round}-${kind}`,
    );
    try {
      if (task.probes) await folder.give(PROBE_FILE, encodeProbes(task.probes));
      if (task.dataset?.kind === 'features') {
        await writeFeatureRows(task.dataset, join(folder.path, FEATURE_ROWS_FILE));
      }
      await this.#execute(folder, task, output);
      return await read(folder);
    } catch (error) {
      throw withOutput(error, output);
    } finally {
      await output.close();
      await folder.remove();
    }
  }

  async #execute(folder: TaskFolder, task: CommandTask, output: KeptOutput): Promise<void> {
    const lines = new ProgressLines(task.onProgress, (text) => output.write(Buffer.from(text)));
    const { command, environment, timeoutMs } = this.#config;
    const signal = AbortSignal.any([task.signal, this.#closing.signal]);
    try {
      await runProgram({
        command: [...command, folder.path],
        workingDirectory: this.#workingDirectory(),
        environment,
        timeoutMs,
        graceMs: this.#site.graceMs ?? 5_000,
        signal,
        withdrawal: () => withdrawnBy(signal),
        onStdout: (chunk) => lines.write(chunk),
        onStderr: (chunk) => output.write(chunk),
      });
    } finally {
      lines.end();
    }
  }

  #describe(
    task: TaskKind,
    { job, round, dataset, constants, manifest, probes, correction }: CommandTask,
    folder: string,
  ): unknown {
    const { framework, format } = this.#config.weights ?? CANONICAL_WEIGHTS;
    const { correction: correctionFile, ...files } = weightsFiles(format);
    return {
      contract: correction ? CORRECTED_CONTRACT_VERSION : CONTRACT_VERSION,
      task,
      round,
      seed: shuffleSeed(job.seed, round),
      job,
      dataset: dataset ? { name: job.dataset, ...datasetTold(dataset, folder) } : null,
      constants: constants ?? null,
      manifest,
      weights: { framework, format, ...files, ...(correction && { correction: correctionFile }) },
      frozen: frozenTensors(job.batchNorm, manifest),
      minimumCount: this.#site.minimumCount,
      ...(probes && { probes: probes.map(({ kind }) => kind) }),
    };
  }

  #workingDirectory(): string {
    return this.#config.workingDirectory ?? process.cwd();
  }
}

/** A program reads a file: the rows of a snapshot lie in the task folder, as a table. */
function datasetTold(dataset: TrainerTask['dataset'], folder: string): object {
  if (dataset.kind !== 'features') return { ...dataset, path: resolve(dataset.path) };
  const { target, split } = dataset;
  return { kind: 'tabular', format: 'csv', target, split, path: join(folder, FEATURE_ROWS_FILE) };
}

/** The same failure, pointing at the kept output; what the program said last is its cause. */
function withOutput(error: unknown, output: KeptOutput): unknown {
  if (!(error instanceof ConsiliumError) || error.problem.code !== 'TRAINER_FAILED') return error;
  // The name first: a long reason is cut on its way to others.
  const reason = `see ${output.name} at the site: ${error.problem.details.reason}`;
  const said = output.tail(TAIL_BYTES);
  const cause = said === '' ? error.cause : new Error(said, { cause: error.cause });
  return new ProgramFailure(problem('TRAINER_FAILED', { reason }), output.path, cause);
}
