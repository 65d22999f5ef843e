import Glibc

/// Human-readable numbers.
public enum Format {
  /// `859,520,964`
  public static func count(_ value: Int) -> String {
    var digits = Array(String(value.magnitude))
    var position = digits.count - 3
    while position > 0 {
      digits.insert(",", at: position)
      position -= 3
    }
    return (value < 0 ? "-" : "") + String(digits)
  }

  /// `1 tensor`, `859,520,964 parameters`
  public static func count(_ value: Int, _ noun: String) -> String {
    "\(count(value)) \(noun)\(value == 1 ? "" : "s")"
  }

  /// `3.20 GiB`; multiples of 1024.
  public static func bytes(_ value: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var scaled = Double(value)
    var unit = 0
    while scaled >= 1024, unit < units.count - 1 {
      scaled /= 1024
      unit += 1
    }
    return unit == 0 ? "\(value) B" : "\(decimals(scaled, scaled < 10 ? 2 : 1)) \(units[unit])"
  }

  /// `0.34 s`, `12.0 s`, `3 min 20 s`
  public static func seconds(_ value: Double) -> String {
    guard value.isFinite, value < 1e9 else { return "?" }
    if value < 10 { return "\(decimals(value, 2)) s" }
    if value < 120 { return "\(decimals(value, 1)) s" }
    let whole = Int(value.rounded())
    if whole < 7200 { return "\(whole / 60) min \(whole % 60) s" }
    return "\(whole / 3600) h \(whole % 3600 / 60) min"
  }

  /// `1.36 T`, `43.2 G`; multiples of 1000.
  public static func magnitude(_ value: Int) -> String {
    let units = ["", " k", " M", " G", " T", " P"]
    var scaled = Double(value)
    var unit = 0
    while scaled >= 1000, unit < units.count - 1 {
      scaled /= 1000
      unit += 1
    }
    return unit == 0 ? String(value) : decimals(scaled, scaled < 100 ? 2 : 1) + units[unit]
  }

  /// A percentage: `12.3 %`.
  public static func share(_ part: Int, of whole: Int) -> String {
    whole == 0 ? "-" : decimals(100 * Double(part) / Double(whole), 1) + " %"
  }

  /// A number with this many significant digits, as with C's `%g`: `0.01235`, `-1.5e-07`.
  public static func significant(_ value: Double, _ digits: Int = 4) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
      let length = withVaList([Int32(digits), value]) {
        vsnprintf(buffer.baseAddress, buffer.count, "%.*g", $0)
      }
      let bytes = buffer.prefix(max(0, min(Int(length), buffer.count - 1)))
      return String(decoding: bytes.lazy.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }

  /// A fraction from 0 to 1 as a bar with this many columns, in steps of one eighth.
  public static func bar(_ share: Double, width: Int) -> String {
    let eighths = Int((max(0, min(1, share)) * Double(8 * width)).rounded())
    let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    let bar = String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
    return bar + String(repeating: " ", count: width - bar.count)
  }

  /// A number with a fixed count of decimals.
  public static func decimals(_ value: Double, _ count: Int) -> String {
    guard value.isFinite, value.magnitude < 1e15 else { return "\(value)" }
    var scale = 1.0
    for _ in 0..<count { scale *= 10 }
    let scaled = Int((value * scale).rounded())
    guard count > 0 else { return String(scaled) }
    let digits = String(scaled.magnitude)
    let padded = String(repeating: "0", count: max(0, count + 1 - digits.count)) + digits
    let sign = scaled < 0 ? "-" : ""
    return sign + padded.dropLast(count) + "." + padded.suffix(count)
  }
}
