// SPDX-License-Identifier: MIT
// Exceptions that begin as faults or traps of compiled code: null, stack overflow, division, array bounds; and the machine's own guard pages.
// kiln: anew
public class Faults {
    int field;
    int[] list;
    Faults next;

    static int nulls, overflows;

    static int read(Faults f) { return f.field; }
    static void write(Faults f, int v) { f.field = v; }
    static int chain(Faults f) { return f.next.next.field; }
    static int length(int[] list) { return list.length; }
    static int divide(int a, int b) { return a / b; }
    static int deep(int n) { return n + deep(n + 1) + 1; }
    static synchronized int deepLocked(int n) { return deepLocked(n + 1) + n; }

    static int caught(int i) {
        Faults some = new Faults(), other = i % 3 == 0 ? null : some;
        try {
            switch (i % 4) {
                case 0: return read(other);
                case 1: write(other, i); return 0;
                case 2: return chain(some);
                default: return length(some.list);
            }
        } catch (NullPointerException e) {
            nulls++;
            return 1;
        }
    }

    static void overflow(boolean locked) {
        try {
            if (locked) deepLocked(0);
            else deep(0);
        } catch (StackOverflowError e) {
            synchronized (Faults.class) { overflows++; }
        }
    }

    public static void main(String[] args) throws Exception {
        int sum = 0;
        for (int i = 0; i < 60000; i++) sum += caught(i);
        System.out.println("nulls " + nulls + " " + sum);

        for (int i = 0; i < 6; i++) overflow(i % 2 == 0);
        Thread[] threads = new Thread[4];
        for (int i = 0; i < threads.length; i++) {
            threads[i] = new Thread(null, () -> { for (int k = 0; k < 4; k++) overflow(false); }, "small", 256 << 10);
            threads[i].start();
        }
        for (Thread thread : threads) thread.join();
        System.out.println("overflows " + overflows);

        int zero = 0, bounds = 0;
        for (int i = 0; i < 20000; i++) {
            try { sum += divide(i, i % 2); } catch (ArithmeticException e) { zero++; }
            try { sum += new int[4][i % 6 % 5].length; } catch (ArrayIndexOutOfBoundsException e) { bounds++; }
            try { sum += new int[] {1, 2, 3}[i % 4]; } catch (ArrayIndexOutOfBoundsException e) { bounds++; }
        }
        System.out.println("zero " + zero + " bounds " + bounds);
        try { Object o = "text"; sum += ((Integer) o); } catch (ClassCastException e) { System.out.println("cast"); }
        try { sum += new long[Integer.MAX_VALUE].length; } catch (OutOfMemoryError e) { System.out.println("memory"); }
    }
}
