//! Borders of the regions of a binary picture (Suzuki & Abe 1985, algorithm 1), as traced by OpenCV, but without storing their points:
//! the metrics of localisation need only a border's box and area, for about three hundred thresholds per map, and a noisy map has
//! thousands of borders.

/// A border of an 8-connected region, outer or of a hole. Its points are pixels of the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contour {
    /// Its first and last column and row: x0, y0, x1, y1.
    pub ends: [i32; 4],
    /// Twice the area of the polygon through its pixels' centres.
    pub doubled_area: i64,
}

/// Offsets (column, row) of the eight neighbours, clockwise from the left one.
const AROUND: [[i32; 2]; 8] = [[-1, 0], [-1, -1], [0, -1], [1, -1], [1, 0], [1, 1], [0, 1], [-1, 1]];
const RIGHT: usize = 4;

/// States of a pixel: background, not yet on a border, on one, on one and its right neighbour is background.
const EMPTY: u8 = 0;
const FRESH: u8 = 1;
const SEEN: u8 = 2;
const SEEN_AT_RIGHT: u8 = 3;

/// All borders of the pixels of a picture (row-major, `width` wide) that exceed a level, in the order in which a scan meets them.
pub fn contours(width: usize, pixels: &[u8], level: u8) -> Vec<Contour> {
    let height = pixels.len() / width.max(1);
    // A margin of background, so that every pixel has eight neighbours.
    let stride = width + 2;
    let mut state = vec![EMPTY; stride * (height + 2)];
    let rows = state.chunks_mut(stride).skip(1).zip(pixels.chunks(width.max(1)));
    for (state, pixels) in rows {
        state[1..].iter_mut().zip(pixels).for_each(|(state, &pixel)| *state = u8::from(pixel > level));
    }
    let mut follower =
        Follower { state, steps: AROUND.map(|[x, y]| x as isize + y as isize * stride as isize) };
    let mut found = vec![];
    for y in 0..height {
        for x in 0..width {
            let at = (y + 1) * stride + x + 1;
            let state = follower.state[at];
            if state == EMPTY {
                continue;
            }
            // The background pixel from which the border is entered.
            let from = if state == FRESH && follower.state[at - 1] == EMPTY {
                0
            } else if state != SEEN_AT_RIGHT && follower.state[at + 1] == EMPTY {
                RIGHT
            } else {
                continue;
            };
            found.push(follower.follow(at, [x as i32, y as i32], from));
        }
    }
    found
}

struct Follower {
    state: Vec<u8>,
    /// [`AROUND`] as offsets of indices.
    steps: [isize; 8],
}

impl Follower {
    fn neighbour(&self, at: usize, direction: usize) -> usize {
        at.wrapping_add_signed(self.steps[direction])
    }

    /// Traces the border through pixel `start`, which is entered from its background neighbour in direction `from`.
    fn follow(&mut self, start: usize, mut point: [i32; 2], from: usize) -> Contour {
        let mut contour = Contour { ends: [point[0], point[1], point[0], point[1]], doubled_area: 0 };
        let clockwise = (1..8).map(|k| (from + k) % 8);
        let Some(first) = clockwise.into_iter().find(|&d| self.state[self.neighbour(start, d)] != EMPTY)
        else {
            self.state[start] = SEEN_AT_RIGHT;
            return contour;
        };
        let last = self.neighbour(start, first);
        let (mut at, mut back) = (start, first);
        loop {
            // Counterclockwise from the previous pixel, which is foreground, so that the search ends.
            let (mut direction, mut right) = (back, false);
            loop {
                direction = (direction + 7) % 8;
                if self.state[self.neighbour(at, direction)] != EMPTY {
                    break;
                }
                right |= direction == RIGHT;
            }
            if right {
                self.state[at] = SEEN_AT_RIGHT;
            } else if self.state[at] == FRESH {
                self.state[at] = SEEN;
            }
            let next = self.neighbour(at, direction);
            let to = [point[0] + AROUND[direction][0], point[1] + AROUND[direction][1]];
            contour.doubled_area +=
                i64::from(point[0]) * i64::from(to[1]) - i64::from(to[0]) * i64::from(point[1]);
            if next == start && at == last {
                contour.doubled_area = contour.doubled_area.abs();
                return contour;
            }
            let [x0, y0, x1, y1] = contour.ends;
            contour.ends = [x0.min(to[0]), y0.min(to[1]), x1.max(to[0]), y1.max(to[1])];
            (at, point, back) = (next, to, (direction + 4) % 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::GrayImage;
    use imageproc::contours::find_contours;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    /// The borders found by an established library, with their points.
    fn reference(width: usize, pixels: &[u8]) -> Vec<Contour> {
        let height = pixels.len() / width;
        let mut image = GrayImage::new(width as u32 + 2, height as u32 + 2);
        for (i, &p) in pixels.iter().enumerate() {
            image.get_pixel_mut((i % width + 1) as u32, (i / width + 1) as u32).0[0] = p;
        }
        let of = |points: &[imageproc::point::Point<i32>]| {
            let ends = |f: fn(i32, i32) -> i32, of: fn(&imageproc::point::Point<i32>) -> i32| {
                points.iter().map(of).reduce(f).unwrap() - 1
            };
            let next = points.iter().cycle().skip(1);
            let cross = points
                .iter()
                .zip(next)
                .map(|(p, q)| i64::from(p.x * q.y) - i64::from(q.x * p.y))
                .sum::<i64>();
            let [low, high]: [fn(i32, i32) -> i32; 2] = [i32::min, i32::max];
            Contour {
                ends: [ends(low, |p| p.x), ends(low, |p| p.y), ends(high, |p| p.x), ends(high, |p| p.y)],
                doubled_area: cross.abs(),
            }
        };
        find_contours::<i32>(&image).iter().map(|c| of(&c.points)).collect()
    }

    #[test]
    fn borders_are_those_of_a_library() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut most = 0;
        for case in 0..300 {
            let (width, height) = (1 + case % 29, 1 + (case * 7) % 23);
            let share = [30, 128, 220][case % 3];
            let pixels: Vec<u8> =
                (0..width * height).map(|_| u8::from(random.next_u32() % 256 < share)).collect();
            let got = contours(width, &pixels, 0);
            assert_eq!(got, reference(width, &pixels), "{width}×{height}: {pixels:?}");
            most = most.max(got.len());
        }
        assert!(most > 50);
    }

    #[test]
    fn a_ring_has_two_borders() {
        let ring = |i: usize| (1..6).contains(&(i / 7)) && (1..6).contains(&(i % 7)) && i != 24;
        let pixels: Vec<u8> = (0..49).map(|i| 6 + u8::from(ring(i))).collect();
        let outer = Contour { ends: [1, 1, 5, 5], doubled_area: 32 };
        let hole = Contour { ends: [2, 2, 4, 4], doubled_area: 4 };
        assert_eq!(contours(7, &pixels, 6), [outer, hole]);
    }
}
