//! As much of the X protocol as a person at a screen is worth: the screen saver and the time since the last input, and
//! what a window manager needs to close a window and to change its size: find it by its title, and ask it to close as its
//! close button does. (There is no window manager on the private display, and a driver cannot close the window without
//! ending the app.)

use crate::world::World;
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

struct Display {
    stream: UnixStream,
    root: u32,
}

/// Presses the close button that a window manager would have drawn.
pub fn close_window(world: &World, title: &str) -> Result<()> {
    let mut display = Display::open(world)?;
    let protocols = display.atom("WM_PROTOCOLS")?;
    let delete = display.atom("WM_DELETE_WINDOW")?;
    let window = display.window(title)?;
    // ClientMessage, format 32: who, what kind, five numbers.
    let mut event = vec![33, 32, 0, 0];
    for number in [window, protocols, delete, 0, 0, 0, 0] {
        event.extend(number.to_ne_bytes());
    }
    // SendEvent: to the window, for no mask: to whoever made it.
    let mut request = vec![25, 0, 11, 0];
    request.extend(window.to_ne_bytes());
    request.extend(0_u32.to_ne_bytes());
    request.extend(event);
    display.stream.write_all(&request)?;
    // An answer to anything later says that the event was taken.
    display.atom("WM_NAME")?;
    Ok(())
}

/// Draws the window's corner to that size, as a person does with the mouse.
pub fn resize_window(world: &World, title: &str, (width, height): (u32, u32)) -> Result<()> {
    let mut display = Display::open(world)?;
    let window = display.window(title)?;
    // ConfigureWindow: width and height.
    let mut request = vec![12, 0];
    request.extend(5_u16.to_ne_bytes());
    request.extend(window.to_ne_bytes());
    request.extend(0b1100_u16.to_ne_bytes());
    request.extend([0, 0]);
    request.extend(width.to_ne_bytes());
    request.extend(height.to_ne_bytes());
    display.stream.write_all(&request)?;
    display.atom("WM_NAME").map(drop)
}

/// The display's screen saver comes on, as when somebody locks the screen.
pub fn screen_saver_on(world: &World) -> Result<()> {
    force_screen_saver(world, 1)
}

/// As when somebody touches a key: the screen saver goes, and the time without input begins anew.
pub fn touched(world: &World) -> Result<()> {
    force_screen_saver(world, 0)
}

fn force_screen_saver(world: &World, mode: u8) -> Result<()> {
    let mut display = Display::open(world)?;
    display.stream.write_all(&[115, mode, 1, 0])?;
    // An answer to anything later says that the request was taken.
    display.atom("WM_NAME").map(drop)
}

impl Display {
    fn open(world: &World) -> Result<Display> {
        let number = world.variable("DISPLAY").and_then(|d| d.to_str()).context("no display")?;
        let path = format!("/tmp/.X11-unix/X{}", number.trim_start_matches(':'));
        let mut stream = UnixStream::connect(&path).with_context(|| path.clone())?;
        let order = if cfg!(target_endian = "little") { b'l' } else { b'B' };
        let mut hello = vec![order, 0];
        for number in [11_u16, 0, 0, 0, 0] {
            hello.extend(number.to_ne_bytes());
        }
        stream.write_all(&hello)?;
        let mut head = [0; 8];
        stream.read_exact(&mut head)?;
        ensure!(head[0] == 1, "the display refuses");
        let mut rest = vec![0; 4 * usize::from(u16::from_ne_bytes([head[6], head[7]]))];
        stream.read_exact(&mut rest)?;
        // After the fixed part: the vendor's name, the pixmap formats, then the first screen, whose first number is
        // its root window.
        let vendor = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
        let formats = usize::from(rest[21]);
        let screen = 32 + vendor.div_ceil(4) * 4 + 8 * formats;
        Ok(Display { stream, root: number_at(&rest, screen)? })
    }

    /// The next answer: its head and what follows. Events that come in between are of no interest.
    fn answer(&mut self) -> Result<(Vec<u8>, Vec<u8>)> {
        loop {
            let mut head = vec![0; 32];
            self.stream.read_exact(&mut head)?;
            ensure!(head[0] != 0, "the display answers with error {}", head[1]);
            if head[0] == 1 {
                let mut rest = vec![0; 4 * number_at(&head, 4)? as usize];
                self.stream.read_exact(&mut rest)?;
                return Ok((head, rest));
            }
        }
    }

    fn atom(&mut self, name: &str) -> Result<u32> {
        let padded = name.len().div_ceil(4);
        let mut request = vec![16, 0];
        request.extend(u16::try_from(2 + padded)?.to_ne_bytes());
        request.extend(u16::try_from(name.len())?.to_ne_bytes());
        request.extend([0, 0]);
        request.extend(name.as_bytes());
        request.resize(8 + 4 * padded, 0);
        self.stream.write_all(&request)?;
        number_at(&self.answer()?.0, 8)
    }

    /// The one of that name that a window manager would have to do with, and that is shown.
    fn window(&mut self, title: &str) -> Result<u32> {
        let protocols = self.atom("WM_PROTOCOLS")?;
        let window = self.children()?.into_iter().find(|window| {
            self.name(*window).is_ok_and(|name| name == title)
                && self.has(*window, protocols)
                && self.is_shown(*window).unwrap_or_default()
        });
        window.with_context(|| format!("no window is called {title:?}"))
    }

    fn children(&mut self) -> Result<Vec<u32>> {
        let mut request = vec![15, 0, 2, 0];
        request.extend(self.root.to_ne_bytes());
        self.stream.write_all(&request)?;
        let (_, rest) = self.answer()?;
        (0..rest.len() / 4).map(|i| number_at(&rest, 4 * i)).collect()
    }

    fn is_shown(&mut self, window: u32) -> Result<bool> {
        // GetWindowAttributes: the map state is 2 where it and all above it are mapped.
        let mut request = vec![3, 0, 2, 0];
        request.extend(window.to_ne_bytes());
        self.stream.write_all(&request)?;
        Ok(self.answer()?.0[26] == 2)
    }

    fn property(&mut self, window: u32, atom: u32) -> Result<Vec<u8>> {
        let mut request = vec![20, 0, 6, 0];
        for number in [window, atom, 0, 0, 64] {
            request.extend(number.to_ne_bytes());
        }
        self.stream.write_all(&request)?;
        let (head, rest) = self.answer()?;
        let length = number_at(&head, 16)? as usize * usize::from(head[1] / 8);
        Ok(rest[..length.min(rest.len())].to_vec())
    }

    fn name(&mut self, window: u32) -> Result<String> {
        let atom = self.atom("WM_NAME")?;
        Ok(String::from_utf8_lossy(&self.property(window, atom)?).into_owned())
    }

    fn has(&mut self, window: u32, atom: u32) -> bool {
        self.property(window, atom).is_ok_and(|value| !value.is_empty())
    }
}

fn number_at(bytes: &[u8], at: usize) -> Result<u32> {
    let four = bytes.get(at..at + 4).context("an answer that is too short")?;
    Ok(u32::from_ne_bytes(four.try_into()?))
}
