import Diffusion
import Glibc
import ModelFormats
import Pictures
import Terminal

/// A terminal graphics protocol.
///
/// Source: kitty's graphics protocol; iTerm2's inline images; DEC's sixel graphics (VT340).
typealias TerminalGraphics = TerminalProtocol

extension TerminalProtocol {

  /// The protocol of the terminal on stdout: from the environment, otherwise by a query.
  static var detected: TerminalGraphics? {
    guard isatty(STDOUT_FILENO) == 1 else { return nil }
    let terminal = Console.variable("TERM") ?? ""
    let program = Console.variable("TERM_PROGRAM") ?? ""
    // Multiplexers lose images.
    guard (Console.variable("TMUX") ?? "").isEmpty, !terminal.hasPrefix("screen") else {
      return nil
    }
    if Console.variable("KITTY_WINDOW_ID") != nil || terminal.contains("kitty")
      || terminal.contains("ghostty") || program == "ghostty"
    {
      return .kitty
    }
    if program == "iTerm.app" || program == "WezTerm"
      || Console.variable("LC_TERMINAL") == "iTerm2"
    {
      return .iterm2
    }
    if terminal.contains("sixel") || terminal == "mlterm" || terminal.hasPrefix("foot") {
      return .sixel
    }
    return answersSixel ? .sixel : nil
  }

  /// Queries the terminal's attributes, of which 4 means sixel graphics, with a short timeout.
  private static var answersSixel: Bool {
    let terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC)
    guard terminal >= 0 else { return false }
    defer { close(terminal) }
    var former = termios()
    guard tcgetattr(terminal, &former) == 0 else { return false }
    var quiet = former
    quiet.c_lflag &= ~tcflag_t(ICANON | ECHO)
    guard tcsetattr(terminal, TCSANOW, &quiet) == 0 else { return false }
    defer { tcsetattr(terminal, TCSANOW, &former) }
    let question: StaticString = "\u{1B}[c"
    guard question.withUTF8Buffer({ write(terminal, $0.baseAddress, $0.count) }) > 0 else {
      return false
    }
    var answer: [UInt8] = []
    var request = pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)
    while answer.count < 64, poll(&request, 1, 200) == 1 {
      var byte: UInt8 = 0
      guard read(terminal, &byte, 1) == 1 else { break }
      answer.append(byte)
      if byte == UInt8(ascii: "c") { break }
    }
    let text = String(decoding: answer, as: UTF8.self)
    guard let start = text.firstIndex(of: "?"), text.hasSuffix("c") else { return false }
    return text[text.index(after: start)...].dropLast().split(separator: ";").dropFirst()
      .contains("4")
  }

  /// The control sequence that shows an image at the cursor.
  ///
  /// - Throws: ``FormatError`` as ``Diffusion/PNG/encode(_:texts:)``.
  func sequence(for image: Image) throws(FormatError) -> String {
    switch self {
    case .kitty:
      // At most 4096 characters at a time.
      let letters = Array(Base64.text(try PNG.encode(image)).utf8)
      return stride(from: 0, to: letters.count, by: 4096).map { start in
        let end = min(start + 4096, letters.count)
        let control = (start == 0 ? "a=T,f=100," : "") + "m=\(end < letters.count ? 1 : 0)"
        return "\u{1B}_G\(control);" + String(decoding: letters[start..<end], as: UTF8.self)
          + "\u{1B}\\"
      }.joined()
    case .iterm2:
      let bytes = try PNG.encode(image)
      return "\u{1B}]1337;File=inline=1;size=\(bytes.count):\(Base64.text(bytes))\u{07}"
    case .sixel:
      return Sixel.text(of: image)
    }
  }
}

/// RFC 4648, section 4.
enum Base64 {
  private static let letters = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  static func text(_ bytes: [UInt8]) -> String {
    var result: [UInt8] = []
    result.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let count = min(3, bytes.count - start)
      let group = (0..<3).reduce(0) { $0 << 8 | ($1 < count ? Int(bytes[start + $1]) : 0) }
      for index in 0..<4 {
        result.append(
          index <= count ? letters[group >> (18 - 6 * index) & 63] : UInt8(ascii: "="))
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}

/// Sixel graphics: strips of six rows, one color after another.
enum Sixel {
  /// Levels of red, green and blue: 216 colors, which every such terminal supports.
  private static let levels = 6

  static func text(of image: Image) -> String {
    let indices = dithered(image)
    var output = "\u{1B}Pq\"1;1;\(image.width);\(image.height)"
    for index in 0..<levels * levels * levels {
      let parts = [index / (levels * levels), index / levels % levels, index % levels]
      let percents = parts.map { String($0 * 100 / (levels - 1)) }
      output += "#\(index);2;" + percents.joined(separator: ";")
    }
    for top in stride(from: 0, to: image.height, by: 6) {
      let rows = top..<min(top + 6, image.height)
      let colours = Set(indices[rows.lowerBound * image.width..<rows.upperBound * image.width])
      for colour in colours.sorted() {
        output += "#\(colour)"
        var run: (letter: UInt8, count: Int) = (0, 0)
        for column in 0..<image.width {
          let bits = rows.reduce(0) { bits, row in
            indices[row * image.width + column] == colour ? bits | 1 << (row - top) : bits
          }
          let letter = UInt8(63 + bits)
          if letter == run.letter {
            run.count += 1
          } else {
            output += repeated(run)
            run = (letter, 1)
          }
        }
        output += repeated(run) + "$"
      }
      output += "-"
    }
    return output + "\u{1B}\\"
  }

  private static func repeated(_ run: (letter: UInt8, count: Int)) -> String {
    let letter = String(UnicodeScalar(run.letter))
    return run.count > 3 ? "!\(run.count)\(letter)" : String(repeating: letter, count: run.count)
  }

  /// The color of each pixel, with error diffusion: Floyd and Steinberg (1976).
  private static func dithered(_ image: Image) -> [Int] {
    var values = image.pixels.map { Float($0) }
    let (width, height) = (image.width, image.height)
    var indices: [Int] = []
    indices.reserveCapacity(width * height)
    let step = 255 / Float(levels - 1)
    for row in 0..<height {
      for column in 0..<width {
        var colour = 0
        for channel in 0..<3 {
          let place = 3 * (row * width + column) + channel
          let level = max(0, min(levels - 1, Int((values[place] / step).rounded())))
          colour = colour * levels + level
          let error = values[place] - Float(level) * step
          for (x, y, share) in [(1, 0, 7), (-1, 1, 3), (0, 1, 5), (1, 1, 1)] as [(Int, Int, Float)]
          where (0..<width).contains(column + x) && row + y < height {
            values[place + 3 * (y * width + x)] += error * share / 16
          }
        }
        indices.append(colour)
      }
    }
    return indices
  }
}
