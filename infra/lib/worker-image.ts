/** The image of the worker, of what `make lambda` built, with the authorities added. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { DockerImageAsset, Platform } from 'aws-cdk-lib/aws-ecr-assets';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { Certificates, CERTIFICATES_FILE, staged } from './certificates';
import { Programs, WORKER_FILES } from './programs';

/** Builds the image. */
export function workerImage(
  scope: Construct,
  programs: Programs,
  certificates: Certificates,
): ecs.ContainerImage {
  const isArm = programs.architecture === lambda.Architecture.ARM_64;
  const source = programs.workerPath();
  const fill = (folder: string) => {
    for (const file of WORKER_FILES) fs.copyFileSync(path.join(source, file), path.join(folder, file));
    fs.writeFileSync(path.join(folder, CERTIFICATES_FILE), certificates.pem());
  };
  const platform = isArm ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64;
  const asset = staged(
    scope,
    fill,
    (directory) => new DockerImageAsset(scope, 'Image', { directory, platform }),
  );
  return ecs.ContainerImage.fromDockerImageAsset(asset);
}
