"""What people see: tables, notes, charts, drawings, and cells that change while they run."""
