# Summarizes Swift Testing's event stream (JSON lines, version 0): failures in full, then how many
# tests ran and how many were skipped, by reason. A test with arguments counts once; suites do not
# count. Exit status: 0, 1 if a test failed, 2 if the run did not end or ran nothing.

# The JSON string that follows `"key":` in `line`, without escapes; `after` is the rest of the line.
function text(line, key,    start, i, c, result) {
  after = ""
  start = index(line, "\"" key "\":\"")
  if (!start) return ""
  result = ""
  for (i = start + length(key) + 4; i <= length(line); i++) {
    c = substr(line, i, 1)
    if (c == "\"") break
    if (c == "\\") {
      c = substr(line, ++i, 1)
      if (c == "n") c = "\n"
      else if (c == "t") c = "\t"
      else if (c == "r") c = ""
      else if (c == "u") { c = "\\u" substr(line, i + 1, 4); i += 4 }
    }
    result = result c
  }
  after = substr(line, i + 1)
  return result
}

# Tests' identifiers end in their source location; suites' do not.
function is_test(id) { return id ~ /\.swift:[0-9]+:[0-9]+$/ }

index($0, "\"kind\":\"testStarted\"") { started[text($0, "testID")] = 1 }

index($0, "\"kind\":\"testSkipped\"") {
  id = text($0, "testID")
  if (!is_test(id) || id in skipped) next
  skipped[id] = 1
  skips++
  reason = text($0, "text")
  if (match(reason, / skipped: "/)) {
    reason = substr(reason, RSTART + RLENGTH)
    sub(/"$/, "", reason)
  } else reason = "no reason given"
  if (!(reason in count)) reasons[++kinds] = reason
  count[reason]++
}

index($0, "\"kind\":\"issueRecorded\"") && !index($0, "\"isKnown\":true") {
  rest = $0
  first = 1
  while ((line = text(rest, "text")) != "" || after != "") {
    rest = after
    print (first ? "" : "  ") line
    first = 0
  }
}

index($0, "\"kind\":\"testEnded\"") {
  id = text($0, "testID")
  if (!is_test(id)) next
  delete started[id]
  ran++
  if (index($0, "\"symbol\":\"fail\"")) {
    failed++
    print "failed: " id
  }
}

index($0, "\"kind\":\"runEnded\"") { ended = 1 }

END {
  if (!ended) {
    for (id in started) if (is_test(id)) print "did not end: " id
    print "the tests stopped before their end"
  }
  printf "%d passed, %d failed, %d skipped\n", ran - failed, failed, skips
  line = sprintf("ran %d, skipped %d", ran, skips)
  # Most frequent reason first.
  for (i = 2; i <= kinds; i++) {
    reason = reasons[i]
    for (j = i - 1; j > 0 && count[reasons[j]] < count[reason]; j--) reasons[j + 1] = reasons[j]
    reasons[j + 1] = reason
  }
  for (i = 1; i <= kinds; i++) line = line (i == 1 ? ": " : "; ") count[reasons[i]] " " reasons[i]
  print line " (log: " log_file ")"
  exit !ended || !ran ? 2 : failed ? 1 : 0
}
