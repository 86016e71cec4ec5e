/** All variants as an app, for the real CLI. */
import { App } from 'aws-cdk-lib';
import { dist } from './support';
import { variants } from './variants';

variants(new App(), dist());
