# SPDX-License-Identifier: MIT
# Threads, queues, processes, signals, a stack overflow that is caught, ractors.
require 'timeout'
require 'open3'
$stdout.sync = true

queue, results = SizedQueue.new(4), Queue.new
workers = 4.times.map { Thread.new { while (n = queue.pop) != :end do results << n * n end } }
500.times { |n| queue << n }
4.times { queue << :end }
workers.each(&:join)
puts "squares #{Array.new(results.size) { results.pop }.sum}"

lock, ready, turn = Mutex.new, ConditionVariable.new, 0
players = 3.times.map do |id|
  Thread.new do
    100.times do
      lock.synchronize do
        ready.wait(lock) until turn % 3 == id
        turn += 1
        ready.broadcast
      end
    end
  end
end
players.each(&:join)
puts "turns #{turn}"

begin
  Timeout.timeout(0.05) { loop { } }
rescue Timeout::Error
  puts 'timeout'
end
puts Thread.new { Thread.current.report_on_exception = false; raise 'on purpose' }.join rescue puts "raised #{$!.message}"

def deep(n) = deep(n + 1) + 1
def overflow
  deep(0)
rescue SystemStackError
  :overflow
end
puts 3.times.map { overflow }.uniq.inspect, Thread.new { overflow }.value

got = 0
trap('USR1') { got += 1 }
50.times do |i|
  Process.kill('USR1', Process.pid)
  sleep 0.001 until got > i
end
puts "signals #{got}"

readers = 4.times.map do |i|
  input, output = IO.pipe
  fork do
    input.close
    output.write("child #{i}" * 1000)
    exit!(i)
  end
  output.close
  input
end
puts readers.map { |r| r.read.size }.inspect
puts Process.waitall.map { |_, status| status.exitstatus }.sort.inspect

ruby = RbConfig.ruby
puts Open3.capture2(ruby, '--disable-gems', '-e', 'print $stdin.read.upcase', stdin_data: 'from the parent').first
begin
  Process.spawn('/nowhere/program')
rescue SystemCallError => error
  puts error.class
end
begin
  Process.spawn('/etc/')
rescue SystemCallError => error
  puts error.class
end
sleeper = Process.spawn(ruby, '--disable-gems', '-e', 'sleep')
Process.kill(:KILL, sleeper)
puts Process.wait2(sleeper).last.termsig

kept = {}
20_000.times { |i| kept[i % 500] = "text #{i}" * 3 }
GC.compact
GC.stress = true
text = 30.times.map(&:to_s).join
GC.stress = false
puts "kept #{kept.size} #{text.size}"

Warning[:experimental] = false
ractors = 3.times.map { |i| Ractor.new(i) { |n| (1..20_000).sum { |x| x % (n + 2) } } }
puts "ractors #{ractors.map(&:take).inspect}"
puts "fibers #{10.times.map { |i| Fiber.new { |x| x + Fiber.yield(x * 2) } .then { |f| [f.resume(i), f.resume(1)] } }.flatten.sum}"
