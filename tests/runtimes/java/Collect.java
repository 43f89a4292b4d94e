// SPDX-License-Identifier: MIT
// Collections of garbage with mutators at work. Runs itself again with each of the machine's collectors: they differ in barriers, in threads
// and in how they map the heap (one maps it several times).
import java.util.*;

public class Collect {
    static class Node {
        Node left, right;
        final int value;
        Node(int depth) {
            value = depth;
            if (depth > 0) {
                left = new Node(depth - 1);
                right = new Node(depth - 1);
            }
        }
        int count() { return 1 + (left == null ? 0 : left.count()) + (right == null ? 0 : right.count()); }
    }

    static void work() throws Exception {
        Node kept = new Node(12);
        long[] sums = new long[3];
        Thread[] threads = new Thread[sums.length];
        for (int t = 0; t < threads.length; t++) {
            int self = t;
            threads[t] = new Thread(() -> {
                Map<Integer, byte[]> cache = new LinkedHashMap<>();
                for (int i = 0; i < 400; i++) {
                    sums[self] += new Node(8).count();
                    cache.put(i % 50, new byte[10000 + i]);
                    if (i % 100 == self) System.gc();
                }
                for (byte[] bytes : cache.values()) sums[self] += bytes.length;
            });
            threads[t].start();
        }
        for (Thread thread : threads) thread.join();
        System.out.println(kept.count() + " " + Arrays.toString(sums));
    }

    public static void main(String[] args) throws Exception {
        if (args.length > 0) {
            work();
            return;
        }
        String java = ProcessHandle.current().info().command().orElseThrow();
        for (String collector : new String[] {"Serial", "Parallel", "G1", "Z", "Shenandoah"}) {
            System.out.print(collector + " ");
            System.out.flush();
            int status = new ProcessBuilder(java, "-XX:+Use" + collector + "GC", "-Xmx64m", "-cp", System.getProperty("java.class.path"), "Collect",
                                            "work").inheritIO().start().waitFor();
            if (status != 0) System.out.println("status " + status);
        }
    }
}
