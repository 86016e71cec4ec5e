/** The sizes that AWS Fargate offers: "Task definition parameters", Amazon ECS Developer Guide. */
import { Token } from 'aws-cdk-lib';
import { refuse } from './limits';

/** CPU units, each with the least and the most memory in MiB, and its steps. */
const SIZES: Record<number, [least: number, most: number, step: number]> = {
  256: [512, 2_048, 512],
  512: [1_024, 4_096, 1_024],
  1_024: [2_048, 8_192, 1_024],
  2_048: [4_096, 16_384, 1_024],
  4_096: [8_192, 30_720, 1_024],
  8_192: [16_384, 61_440, 4_096],
  16_384: [32_768, 122_880, 8_192],
};

/** What a task has if nothing is said. */
export const SMALLEST = { cpu: 256, memoryLimitMiB: 512 };

/** Fails where Fargate has no such task; what is known at deployment only is not checked. */
export function fargateSize(prefix: string, cpu: number, memoryLimitMiB: number): void {
  if (Token.isUnresolved(cpu)) return;
  const memory = SIZES[cpu];
  if (!memory) refuse(`${prefix}cpu`, cpu, `one of ${Object.keys(SIZES).join(', ')}`);
  if (Token.isUnresolved(memoryLimitMiB)) return;
  const [least, most, step] = memory;
  const offered = memoryLimitMiB >= least && memoryLimitMiB <= most && memoryLimitMiB % step === 0;
  // Of the smallest, 1,536 is a step that is not there.
  if (offered && !(cpu === 256 && memoryLimitMiB === 1_536)) return;
  const values = cpu === 256 ? '512, 1024 or 2048' : `from ${least} to ${most}, in steps of ${step}`;
  refuse(`${prefix}memoryLimitMiB`, memoryLimitMiB, `${values}, since ${prefix}cpu is ${cpu}`);
}
