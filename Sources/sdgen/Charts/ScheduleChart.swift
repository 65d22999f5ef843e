import Diffusion
import Terminal

/// A schedule as an SVG picture: over the training timesteps the amplitudes of picture and noise in
/// x_t, √ᾱ_t and √(1−ᾱ_t), and the timesteps at which the model is evaluated.
struct ScheduleChart {
  let table: ScheduleTable

  private static let width = 760.0
  private static let height = 400.0
  private static let left = 56.0
  private static let right = 24.0
  private static let top = 64.0
  private static let bottom = 52.0
  private static let signal = "#2563eb"
  private static let noise = "#dc2626"
  private static let faint = "#6b7280"

  /// The last training timestep.
  private var last: Double { Double(max(1, table.cumulativeAlphas.count - 1)) }

  private func x(_ timestep: Double) -> Double {
    Self.left + timestep / last * (Self.width - Self.left - Self.right)
  }

  private func y(_ amplitude: Double) -> Double {
    Self.height - Self.bottom - amplitude * (Self.height - Self.top - Self.bottom)
  }

  /// The SVG document, in ASCII.
  func svg() -> String {
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(Self.text(Self.width)) "
        + "\(Self.text(Self.height))\" width=\"\(Self.text(Self.width))\" height=\"\(Self.text(Self.height))\" "
        + "font-family=\"system-ui, sans-serif\" font-size=\"13\">",
      "<title>Noise schedule of \(table.scheduler.name)</title>",
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
    ]
    lines += grid() + curves() + points() + legend()
    lines.append("</svg>")
    return lines.joined(separator: "\n") + "\n"
  }

  /// The distance of the marks: about a fifth of the timesteps, with one digit that is not 0.
  private var interval: Double {
    var unit = 1.0
    while 10 * unit <= last / 5 { unit *= 10 }
    return max(1, (last / 5 / unit).rounded()) * unit
  }

  private func grid() -> [String] {
    var lines: [String] = []
    for tenth in stride(from: 0, through: 10, by: 2) {
      let amplitude = Double(tenth) / 10
      lines.append(line(x(0), y(amplitude), x(last), y(amplitude), "#e5e7eb"))
      lines.append(
        label(x(0) - 8, y(amplitude) + 4, Format.decimals(amplitude, 1), anchor: "end"))
    }
    for timestep in stride(from: 0, through: last, by: interval) {
      lines.append(label(x(timestep), y(0) + 20, String(Int(timestep)), anchor: "middle"))
    }
    lines.append(label(x(last / 2), y(0) + 40, "timestep t of training", anchor: "middle"))
    return lines
  }

  private func curves() -> [String] {
    let alphas = table.cumulativeAlphas
    // A point per pixel is all that can be seen.
    let stride = max(1, alphas.count / 500)
    let shown = alphas.indices.filter { $0 % stride == 0 || $0 == alphas.count - 1 }
    func path(_ colour: String, _ amplitude: (Double) -> Double) -> String {
      let points = shown.map { index in
        "\(Self.text(x(Double(index)))),\(Self.text(y(amplitude(Double(alphas[index])))))"
      }
      return
        "<polyline points=\"\(points.joined(separator: " "))\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\"/>"
    }
    return [
      path(Self.signal) { $0.squareRoot() }, path(Self.noise) { max(0, 1 - $0).squareRoot() },
    ]
  }

  private func points() -> [String] {
    table.levels.flatMap { level -> [String] in
      let place = x(min(max(Double(level.timestep), 0), last))
      return [
        line(place, y(0), place, y(0) + 5, Self.faint), dot(place, y(level.signal), Self.signal),
        dot(place, y(level.noise), Self.noise),
      ]
    }
  }

  private func legend() -> [String] {
    let count = table.levels.count
    let evaluations = count == 1 ? "1 evaluation" : "\(count) evaluations"
    return [
      "<text x=\"\(Self.text(Self.left))\" y=\"24\" font-size=\"16\" font-weight=\"600\" fill=\"#111827\">"
        + "\(table.scheduler.name): \(evaluations) of the model</text>",
      label(Self.left, 46, "x_t = &#8730;&#945;&#773; x_0 + &#8730;(1&#8722;&#945;&#773;) &#949;"),
      dot(Self.left + 232, 42, Self.signal),
      label(Self.left + 242, 46, "picture, &#8730;&#945;&#773;"),
      dot(Self.left + 342, 42, Self.noise),
      label(Self.left + 352, 46, "noise, &#8730;(1&#8722;&#945;&#773;)"),
    ]
  }

  private func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ colour: String)
    -> String
  {
    "<line x1=\"\(Self.text(x1))\" y1=\"\(Self.text(y1))\" x2=\"\(Self.text(x2))\" y2=\"\(Self.text(y2))\" stroke=\"\(colour)\"/>"
  }

  private func dot(_ x: Double, _ y: Double, _ colour: String) -> String {
    "<circle cx=\"\(Self.text(x))\" cy=\"\(Self.text(y))\" r=\"3.5\" fill=\"\(colour)\"/>"
  }

  private func label(_ x: Double, _ y: Double, _ text: String, anchor: String = "start") -> String {
    "<text x=\"\(Self.text(x))\" y=\"\(Self.text(y))\" text-anchor=\"\(anchor)\" fill=\"\(Self.faint)\">\(text)</text>"
  }

  /// A coordinate.
  private static func text(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return tenths % 10 == 0 ? String(tenths / 10) : Format.decimals(Double(tenths) / 10, 1)
  }
}
