import { readFile } from 'node:fs/promises';
import { Argument, type Command } from 'commander';
import { EXIT } from '../../errors/catalogue.ts';
import { ConsiliumError, fail } from '../../errors/problem.ts';
import type { ParticipantConfig } from '../../participant/config.ts';
import { allowedTrainers } from '../../participant/permissions.ts';
import { act, type CommandContext } from '../context.ts';
import { type ConfigFault, kindOf, parseConfig, placeOf } from '../load-config.ts';
import { readJob } from '../read-job.ts';
import { FILE_KINDS, type FileKind, publishedSchema } from '../schemas.ts';
import type { Terminal } from '../terminal.ts';

/** Command trainers that the policy does not name, so that no job may use them. */
function unusableCommands(config: ParticipantConfig): readonly string[] {
  const allowed = allowedTrainers(config);
  return Object.entries(config.trainers)
    .filter(([name, { kind }]) => kind === 'command' && !allowed.includes(name))
    .map(([name]) => `no job may use the command trainer ${name}: policy.trainers does not name it`);
}

/** What is wrong with a job that is sound by itself, and the weights manifest that it names. */
async function faultsBeside(context: CommandContext, file: string): Promise<readonly ConfigFault[]> {
  try {
    await readJob(context, file);
    return [];
  } catch (error) {
    if (!(error instanceof ConsiliumError) || error.problem.code !== 'CONFIG_INVALID') throw error;
    const { where, reason } = error.problem.details;
    return [{ file, line: 1, column: 1, reason: where === file ? `${reason}` : `${where}: ${reason}` }];
  }
}

/** `consilium config schema|validate`. */
export function registerConfig(program: Command, terminal: Terminal): void {
  const config = program.command('config').description('schemas of the files that people write');
  config
    .command('schema')
    .description('print the JSON Schema of a kind of file')
    .addArgument(new Argument('<kind>', 'which file').choices([...FILE_KINDS]))
    .action(
      act(terminal, async (context, [kind]) => {
        const schema = publishedSchema(kind as FileKind);
        context.print(schema, () => `${JSON.stringify(schema, undefined, 2)}\n`);
      }),
    );
  config
    .command('validate')
    .description('check a file; says every fault by line and column')
    .argument('<file>', 'a YAML file')
    .option('--kind <kind>', `one of ${FILE_KINDS.join(', ')}; seen from the file unless said`)
    .action(
      act<{ kind?: string }>(terminal, async (context, [file], options) => {
        const text = await readFile(file as string, 'utf8').catch((cause) =>
          fail('CONFIG_INVALID', { where: file as string, reason: 'the file could not be read' }, cause),
        );
        const kind = options.kind ?? kindOf(text);
        if (!FILE_KINDS.includes(kind as FileKind)) {
          fail('USAGE', { reason: `--kind takes ${FILE_KINDS.join(', ')}, not ${kind}` });
        }
        const parsed = parseConfig(kind as FileKind, file as string, text, context.language);
        const faults = !parsed.ok
          ? parsed.refusal
          : kind === 'job'
            ? await faultsBeside(context, file as string)
            : [];
        context.print({ file, kind, valid: faults.length === 0, faults }, () =>
          `${file}: a valid ${kind} file\n`.repeat(faults.length === 0 ? 1 : 0),
        );
        for (const fault of faults) context.say(`${placeOf(fault)}: ${fault.reason}`);
        if (parsed.ok && kind === 'participant') {
          for (const warning of unusableCommands(parsed.value as ParticipantConfig)) {
            context.say(`${file}: warning: ${warning}`);
          }
        }
        return faults.length === 0 ? EXIT.ok : EXIT.usage;
      }),
    );
}
