/** The section `augment`: random transformations of training images. Types and data only; any thread. */
import * as z from 'zod'
import { fraction, help } from './fields.js'

export const augment = z
  .strictObject({
    shift: z.number().min(0).default(0).meta(help('Largest shift in pixels, in x and in y; uniform.')),
    rotate: z
      .number()
      .min(0)
      .max(180)
      .default(0)
      .meta(help('Largest rotation in degrees, in either direction; uniform.')),
    scale: fraction()
      .default(0)
      .meta(help('Largest change of size, 0.15 for ±15 %; width and height are scaled independently.')),
    shear: z
      .number()
      .min(0)
      .max(2)
      .default(0)
      .meta(help('Largest shear: shift in pixels of a row against the next one; 0.2 makes upright lines lean by 11°.')),
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
          .meta(help('Standard deviation, in pixels, of the Gaussian that smooths the displacements.')),
      })
      .prefault({})
      .meta({ title: 'Elastic deformation', description: 'Smooth random displacements, as of ink on rubber.' }),
    flip: z.number().min(0).max(1).default(0).meta(help('Probability that an image is mirrored, left to right.')),
    erase: z
      .strictObject({
        probability: z.number().min(0).max(1).default(0).meta(help('Probability that a rectangle is erased.')),
        area: z
          .number()
          .gt(0)
          .max(1)
          .default(0.2)
          .meta(help('Largest fraction of the image that is erased; the smallest is 0.02.')),
        fill: z.enum(['zero', 'random']).default('zero').meta(help('Value of the erased pixels.')),
      })
      .prefault({})
      .meta({ title: 'Random erasing', description: 'A rectangle of the image is erased.' }),
    crop: z
      .int()
      .min(0)
      .default(0)
      .meta(
        help(
          'Random crop: the image gets this many black pixels on every side, and a window of its size is cut out somewhere, at whole pixels.',
        ),
      ),
    cutout: z
      .int()
      .min(0)
      .default(0)
      .meta(help('Side in pixels of a black square whose centre is anywhere in the image; 0: none.')),
    mixup: z
      .number()
      .min(0)
      .max(2)
      .default(0)
      .meta(
        help(
          'Mixup: every image is mixed with another one of the training split, and its label likewise, in shares from ' +
            'Beta(alpha, alpha) with this alpha; 0: none. 0.2 is usual. Training accuracy then counts the label of the larger share.',
        ),
      ),
    brightness: fraction()
      .default(0)
      .meta(help('Largest change of brightness: 0.2 multiplies all pixels of an image by a factor from 0.8 to 1.2.')),
    contrast: fraction()
      .default(0)
      .meta(
        help(
          "Largest change of contrast: 0.2 multiplies the distances from the image's mean brightness by a factor from 0.8 to 1.2.",
        ),
      ),
    saturation: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .meta(
        help(
          'Largest change of saturation, of pictures in colour: 0.2 multiplies the distance of each pixel from its grey by a factor from 0.8 to 1.2.',
        ),
      ),
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
          'Factors on `rotate` and `shear`, one per class: a 1 and a 7 tolerate less than the others. null: 1 for all.',
        ),
      ),
    plainEpochs: z
      .int()
      .min(0)
      .default(0)
      .meta(help('Number of epochs at the end of the run that train on unchanged images.')),
  })
  .prefault({})
  .meta({
    title: 'Augmentation',
    description:
      'Random transformations of training images, new in every epoch. Validation and test images are not changed. ' +
      '`gradloom data preview` shows the result.',
  })
