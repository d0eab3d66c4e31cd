/** The section `augment`: how training images are changed. Types and data only; any thread. */
import * as z from 'zod'
import { fraction, help } from './fields.js'

export const augment = z
  .strictObject({
    shift: z.number().min(0).default(0).meta(help('Pixels that an image moves at most, across and down; uniform.')),
    rotate: z.number().min(0).max(180).default(0).meta(help('Degrees that it turns at most, either way; uniform.')),
    scale: fraction()
      .default(0)
      .meta(help('How much larger or smaller it becomes at most, 0.15 for 15 %; width and height for themselves.')),
    shear: z
      .number()
      .min(0)
      .max(2)
      .default(0)
      .meta(help('How far a row slides against the next one at most, in pixels; 0.2 makes upright lines lean by 11°.')),
    elastic: z
      .strictObject({
        alpha: z
          .number()
          .min(0)
          .max(1000)
          .default(0)
          .meta(
            help('Largest displacement of a pixel before smoothing, which leaves about 0.16 · alpha / sigma; 0: none.'),
          ),
        sigma: z
          .number()
          .min(0.5)
          .max(50)
          .default(5)
          .meta(help('Pixels that the displacements are smoothed over, the standard deviation of a Gaussian.')),
      })
      .prefault({})
      .meta({ title: 'Elastic deformation', description: 'Smooth random displacements, as of ink on rubber.' }),
    flip: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .meta(help('How often an image is mirrored, left to right; 0.5: half of them.')),
    erase: z
      .strictObject({
        probability: z.number().min(0).max(1).default(0).meta(help('How often a rectangle is erased.')),
        area: z
          .number()
          .gt(0)
          .max(1)
          .default(0.2)
          .meta(help('Largest fraction of the image that is erased; the smallest is 0.02.')),
        fill: z.enum(['zero', 'random']).default('zero').meta(help('What stands there then.')),
      })
      .prefault({})
      .meta({ title: 'Random erasing', description: 'A rectangle of the image is hidden.' }),
    noise: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .meta(help('Standard deviation of noise on every pixel, as a fraction of white; nearly normal.')),
    perClass: z
      .array(z.number().min(0).max(1))
      .nullable()
      .default(null)
      .meta(
        help(
          'Factors of `rotate` and `shear`, one for each class: a 1 and a 7 bear less than the others. null: 1 for all.',
        ),
      ),
    plainEpochs: z
      .int()
      .min(0)
      .default(0)
      .meta(
        help(
          'So many epochs at the end of the run see the images as they are: what is scored at last is what was learned last.',
        ),
      ),
  })
  .prefault({})
  .meta({
    title: 'Augmentation',
    description:
      'How training images are changed, anew in every epoch. Validation and test images stay as they are. ' +
      '`gradloom data preview` shows the result.',
  })
