import Glibc
import OrderedJSON
import Terminal

/// Creates man pages for a program: `PROGRAM --experimental-dump-help | sdmanual VERSION FOLDER`.
///
/// One page for the program and one per command, `sdinspect-diff.1`, with the text of `--help`.
@main
enum SDManual {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 3 else {
      end("usage: PROGRAM --experimental-dump-help | sdmanual VERSION FOLDER", .usage)
    }
    do {
      let dump = try JSON(parsing: standardInput())
      guard let command = dump["command"].flatMap({ CommandHelp($0) }) else {
        end("the input is not what --experimental-dump-help prints", .data)
      }
      for page in ManualPage.pages(of: command, version: arguments[1]) {
        try write(page.text, to: "\(arguments[2])/\(page.name).1")
      }
    } catch {
      end(String(describing: error), .data)
    }
  }

  private static func standardInput() -> String {
    var text = ""
    while let line = readLine(strippingNewline: false) { text += line }
    return text
  }

  private static func write(_ text: String, to path: String) throws {
    guard let file = fopen(path, "w") else { end("\(path) cannot be created", .cannotCreate) }
    guard fputs(text, file) >= 0, fclose(file) == 0 else {
      end("\(path) cannot be written", .inputOutput)
    }
    Console.print(path)
  }

  private static func end(_ message: String, _ status: ExitStatus) -> Never {
    Console.note("error: " + message)
    exit(status.rawValue)
  }
}
