/// The offset of each value's storage in one arena; values that are never live at the same time
/// share bytes.
package struct MemoryPlan {
  /// Storage of `byteCount` bytes, live from step `first` to step `last` inclusive.
  package struct Lifetime {
    package var byteCount: Int
    package var first: Int
    package var last: Int

    package init(byteCount: Int, first: Int, last: Int) {
      self.byteCount = byteCount
      self.first = first
      self.last = last
    }

    fileprivate func overlaps(_ other: Lifetime) -> Bool {
      first <= other.last && other.first <= last
    }
  }

  /// For each storage, its offset; a multiple of the alignment.
  package let offsets: [Int]
  package let byteCount: Int

  /// Avoids cache lines that two cores write.
  private static let alignment = 64

  /// Places the largest first, each in the smallest sufficient gap.
  package init(_ lifetimes: [Lifetime]) {
    var offsets = [Int](repeating: 0, count: lifetimes.count)
    var placed: [Int] = []
    var end = 0
    let order = lifetimes.indices.sorted {
      (lifetimes[$0].byteCount, $1) > (lifetimes[$1].byteCount, $0)
    }
    for index in order {
      let size = Self.aligned(lifetimes[index].byteCount)
      let neighbours = placed.filter { lifetimes[$0].overlaps(lifetimes[index]) }
        .sorted { offsets[$0] < offsets[$1] }
      var best: (offset: Int, gap: Int)?
      var free = 0
      for neighbour in neighbours {
        let gap = offsets[neighbour] - free
        if gap >= size, best.map({ gap < $0.gap }) ?? true { best = (free, gap) }
        free = max(free, offsets[neighbour] + Self.aligned(lifetimes[neighbour].byteCount))
      }
      offsets[index] = best?.offset ?? free
      end = max(end, offsets[index] + size)
      placed.append(index)
    }
    self.offsets = offsets
    byteCount = end
  }

  private static func aligned(_ count: Int) -> Int {
    (count + alignment - 1) / alignment * alignment
  }
}
